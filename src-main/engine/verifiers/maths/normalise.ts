/**
 * Brings an answer into one plain LaTeX form before it is read: delimiters, spacing, size commands and variants of commands go, Unicode
 * becomes LaTeX, words are marked as `\text{…}`. The rules follow Math-Verify's. Texts are short here (`maxAnswerLength`), every step is one
 * replacement.
 */

/** Longer answers are compared as they stand; no honest short answer needs more. */
export const maxAnswerLength = 2000;

const unicode: Record<string, string> = {
  ...{ '−': '-', '–': '-', '—': '-', '×': '\\times ', '·': '\\cdot ', '⋅': '\\cdot ', '∙': '\\cdot ', '÷': '\\div ', '∗': '*' },
  ...{ π: '\\pi ', '∞': '\\infty ', '≤': '\\le ', '≥': '\\ge ', '⩽': '\\le ', '⩾': '\\ge ', '≠': '\\ne ', '≈': '\\approx ' },
  ...{ '∪': '\\cup ', '∩': '\\cap ', '∈': '\\in ', '±': '\\pm ', '∓': '\\mp ', '°': '^\\circ ', '∅': '\\emptyset ', ℝ: '\\mathbb{R}' },
  ...{ '½': '\\frac{1}{2}', '⅓': '\\frac{1}{3}', '⅔': '\\frac{2}{3}', '¼': '\\frac{1}{4}', '¾': '\\frac{3}{4}', '′': "'", '’': "'" },
  ...{ θ: '\\theta ', α: '\\alpha ', β: '\\beta ', γ: '\\gamma ', λ: '\\lambda ', ω: '\\omega ', μ: '\\mu ', φ: '\\phi ', '％': '%' },
};
const superscripts = '⁰¹²³⁴⁵⁶⁷⁸⁹';
const subscripts = '₀₁₂₃₄₅₆₇₈₉';

/** Stands for the `\\\\` that ends a matrix row, so that no backslash of it is taken for the start of a command. */
export const rowBreak = '\u0001';

/** Commands that mean the same, by the name kept. */
const synonyms: Record<string, string> = {
  ...{
    dfrac: 'frac',
    tfrac: 'frac',
    cfrac: 'frac',
    dbinom: 'binom',
    tbinom: 'binom',
    leq: 'le',
    leqslant: 'le',
    geq: 'ge',
    geqslant: 'ge',
  },
  ...{ neq: 'ne', lbrace: '{', rbrace: '}', lvert: '|', rvert: '|', vert: '|', mid: '|', lt: '<', gt: '>', degree: '^\\circ' },
  ...{ varnothing: 'emptyset', simeq: 'approx', colon: ':', ast: '*', lbrack: '[', rbrack: ']', land: 'text{and}', lor: 'text{or}' },
  ...{ varphi: 'phi', vartheta: 'theta', varepsilon: 'epsilon', bullet: 'cdot', rangle: 'rangle', sp: '^', sb: '_' },
};
const plain = new Set(['|', '<', '>', ':', '*', '[', ']', '^', '_', '^\\circ']);
const dropped =
  /\\(?:left|right|displaystyle|textstyle|scriptstyle|bigl|bigr|Bigl|Bigr|biggl|biggr|big|Big|bigg|Bigg|limits|nolimits|middle|boldsymbol|bm)(?![a-zA-Z])\.?/g;
const wordCommand = /\\(?:text|textbf|textit|textrm|textsf|texttt|mbox|hbox|textnormal|rm|operatorname\*?)\s?\{([^{}]*)\}/g;
const letterCommand = /\\(?:mathrm|mathbf|mathit|mathsf|mathcal|mathfrak)\s?\{([^{}]*)\}/g;

/** Without delimiters and spacing, one spelling per command. Idempotent but for words that were marked. */
export function normaliseAnswer(raw: string): string {
  let text = raw.replace(/[\u00a0\u2009\u202f\u200b\u2061\u2062]/g, ' ').replace(/[^ -~\s]/g, (char) => unicode[char] ?? char);
  text = digitsOf(digitsOf(text, superscripts, '^'), subscripts, '_');
  text = text
    .replaceAll('\\\\', rowBreak)
    .replace(/\\begin\{(?:align|equation|gather|aligned)\*?\}|\\end\{(?:align|equation|gather|aligned)\*?\}/g, ' ');
  text = text.replace(/\\?[$€£¥₹]|\\(?:pounds|euro|textdollar)(?![a-zA-Z])/g, ' ').replace(/\\[()[\]]/g, ' ');
  text = text.replace(/\{,\}|,\s?\\!\s?(?=\d{3})|(?<=\d)\\,(?=\d{3}(?!\d))/g, (found) =>
    found.includes(',') && !found.startsWith('\\,') ? ',' : '',
  );
  text = text.replace(/(?<!\\)\{(\d{1,3}(?:,\d{3})+)\}/g, (found) => found.replaceAll(',', ''));
  text = text.replace(dropped, '').replace(/\\[,;:! ]|\\q?quad(?![a-zA-Z])|\\(?:hspace|vspace|phantom)\*?\{[^{}]*\}|~/g, ' ');
  text = text.replace(/\\([a-zA-Z]+)/g, (found, name: string) => {
    const kept = Object.hasOwn(synonyms, name) ? synonyms[name]! : null;
    return kept === null ? found : plain.has(kept) ? kept : `\\${kept}`;
  });
  text = text.replace(wordCommand, (_, words: string) => `\\text{${words}}`).replace(letterCommand, lettersOf);
  text = text
    .replace(/\\%/g, '%')
    .replace(/\*\*/g, '^')
    .replace(/\\(?:implies|Rightarrow|rightarrow|to)(?![a-zA-Z])/g, ' ');
  text = text.replace(/\^\s?\{?\s?\\circ\s?\}?/g, '\\degree ').replace(/(?<![\\a-zA-Z])(frac|sqrt|boxed|pi)(?=\{)/g, '\\$1');
  text = text.replace(/<=/g, '\\le ').replace(/>=/g, '\\ge ').replace(/!=/g, '\\ne ').replace(/\s+/g, ' ').trim();
  return text
    .replace(/^[\s:*]+/, '')
    .replace(/(?:[.,;:*\s]|\\text\{[.,;:\s]*\})+$/, (tail) => (/\.{2,}/.test(tail) ? tail : ''))
    .trim();
}

/** For comparing as text: no white space but between digits, no braces around single characters. */
export function compactAnswer(text: string): string {
  return text.replace(/\s+(?!\d)|(?<!\d)\s+/g, '').replace(/([_^])\{(\w)\}/g, '$1$2');
}

function digitsOf(text: string, digits: string, mark: string): string {
  const run = new RegExp(`[${digits}]+`, 'g');
  return text.replace(run, (found) => `${mark}{${[...found].map((digit) => digits.indexOf(digit)).join('')}}`);
}

/** Upright letters: a unit or a word when there are several or a number stands before them, else a variable like any other. */
function lettersOf(_: string, words: string, at: number, whole: string): string {
  const inner = words.replaceAll('~', ' ').trim();
  const several = /^[A-Za-z]{2,}(?:[\s/.*][A-Za-z]+)*$/.test(inner) && !/^d[a-z]$/.test(inner);
  const unit = /^[A-Za-z]$/.test(inner) && !/^[eid]$/.test(inner) && /[\d})]\s*$/.test(whole.slice(Math.max(0, at - 4), at));
  return several || unit ? `\\text{${inner}}` : inner;
}
