/** Finds formulas and numbers in running text, for completions that mark their answer with words alone or not at all. */

/** Answers without any mark are looked for this near to the end. */
const tail = 20_000;
const longest = 300;
const formula = new RegExp(
  [
    String.raw`\$\$([^$]{1,${longest}})\$\$`,
    String.raw`(?<![\\$])\$([^$\n]{1,${longest}})\$`,
    String.raw`\\\(((?:[^\\\n]|\\(?!\)))[^\n]{0,${longest}}?)\\\)`,
    String.raw`\\\[([\s\S]{1,${longest}}?)\\\]`,
  ].join('|'),
  'g',
);
const fraction = String.raw`(?:-\s?)?\\[dtc]?frac\s?(?:\d\d|\{-?\d{1,40}\}\s?\{-?\d{1,40}\})`;
const digits = String.raw`(?:(?:\d{1,3}(?:,\d{3})+(?![\d])|\d{1,400})(?:\.\d{1,400})?|(?<!\d)\.\d{1,400})`;
const number = new RegExp(
  String.raw`${fraction}|(?:(?<![\w.)}])-\s?)?(?:\\?[$€£]\s?)?(?<![A-Za-z\d])${digits}(?:[eE][-+]?\d{1,4}\b)?(?:\s?\/\s?\d{1,400})?(?:\s?\\?%|\s(?:percent|pct)\b)?`,
  'g',
);
const joint = /^\s{0,3}(?:,|and\b|or\b|,\s?and\b)?\s{0,3}$/;

/** What a phrase like "the answer is" announces: its formulas if one begins soon, its expression, its first number, or the line. */
export function leadingAnswer(rest: string): string | null {
  const text = rest.replace(/^[\s:*_=>]+/, '');
  if (text === '') return null;
  const line = /^[^\n]*/.exec(text)![0];
  const formulas = [...text.matchAll(formula)].filter((match) => isFormula(contentOf(match)));
  const first = formulas[0];
  if (first && first.index <= Math.min(60, line.length + 3)) return joined(text, formulas);
  const sentence = line
    .split(/\.(?=\s|$)|\*\*/)[0]!
    .trim()
    .replace(/[,;:]+$/, '');
  if (sentence === '') return null;
  if (isExpression(sentence)) return sentence;
  return sentence.match(number)?.[0].trim() ?? sentence;
}

/** The formula or number that ends last, or null. */
export function lastFormulaOrNumber(completion: string): string | null {
  const text = completion.slice(-tail);
  let best: { end: number; text: string } | null = null;
  for (const match of text.matchAll(number)) best = { end: match.index + match[0].length, text: match[0].trim() };
  for (const match of text.matchAll(formula)) {
    const content = contentOf(match);
    const end = match.index + match[0].length;
    if (isFormula(content) && (!best || end >= best.end)) best = { end, text: content };
  }
  return best?.text ?? null;
}

/** The first formula with those that only "," and "and" divide from it. */
function joined(text: string, formulas: RegExpMatchArray[]): string {
  const parts: string[] = [];
  let end: number | null = null;
  for (const match of formulas) {
    if (end !== null && !joint.test(text.slice(end, match.index))) break;
    parts.push(contentOf(match));
    end = match.index! + match[0].length;
  }
  return parts.join(', ');
}

function contentOf(match: RegExpMatchArray): string {
  return (match[1] ?? match[2] ?? match[3] ?? match[4] ?? '').trim();
}

/** Not the text between two prices. */
function isFormula(content: string): boolean {
  return content !== '' && !/(?<![\\A-Za-z{])[A-Za-z]{3,}\s+[A-Za-z]{2,}|^[,.]\s/.test(content);
}

/** No words beside commands and functions. */
function isExpression(text: string): boolean {
  const bare = text.replace(/\\[A-Za-z]+|\b(?:sqrt|sin|cos|tan|log|ln|exp|pi|and|or|inf)\b/g, '');
  return text.length <= 120 && !/[A-Za-z]{3,}|[^\s\w\\{}()[\]+\-*/^=<>.,;:!|%'$°√π∞±≤≥≠∪∈]/.test(bare);
}
