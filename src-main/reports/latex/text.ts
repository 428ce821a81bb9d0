/**
 * Text as LaTeX source that shows it literally, in pdfLaTeX, XeLaTeX and LuaLaTeX alike. Latin letters, Greek ones and usual signs are
 * written with commands that every installation has; every other character becomes `\unicodeletter{4E2D}`, whose definition
 * (`unicodeLetterDefinition`) shows the letter where engine and font can and `[U+4E2D]` where not.
 */

const symbols = new Map<string, string>(
  Object.entries({
    '\\': '\\textbackslash{}',
    '{': '\\{',
    '}': '\\}',
    $: '\\$',
    '&': '\\&',
    '#': '\\#',
    _: '\\_',
    '%': '\\%',
    '~': '\\textasciitilde{}',
    '^': '\\textasciicircum{}',
    '<': '\\textless{}',
    '>': '\\textgreater{}',
    '|': '\\textbar{}',
    '"': '\\textquotedbl{}',
    '`': '\\textasciigrave{}',
    // Behind the end of a table's line these two would be read as its arguments.
    '[': '{[}',
    '*': '{*}',
    '\u00a0': '~',
    '\u202f': '\\,',
    '\u2009': '\\,',
    '\u2010': '-',
    '\u2011': '-',
    '–': '\\textendash{}',
    '—': '\\textemdash{}',
    '−': '$-$',
    '±': '$\\pm$',
    '×': '$\\times$',
    '÷': '$\\div$',
    '·': '$\\cdot$',
    '≤': '$\\leq$',
    '≥': '$\\geq$',
    '≠': '$\\neq$',
    '≈': '$\\approx$',
    '∞': '$\\infty$',
    '√': '$\\surd$',
    '∑': '$\\sum$',
    '∏': '$\\prod$',
    '∈': '$\\in$',
    '→': '$\\rightarrow$',
    '←': '$\\leftarrow$',
    '↔': '$\\leftrightarrow$',
    '▲': '$\\bigtriangleup$',
    '▼': '$\\bigtriangledown$',
    '‘': '`',
    '’': "'",
    '“': '\\textquotedblleft{}',
    '”': '\\textquotedblright{}',
    '„': '\\quotedblbase{}',
    '«': '\\guillemotleft{}',
    '»': '\\guillemotright{}',
    '…': '\\ldots{}',
    '•': '\\textbullet{}',
    '°': '\\textdegree{}',
    '§': '\\S{}',
    '©': '\\textcopyright{}',
    '®': '\\textregistered{}',
    '™': '\\texttrademark{}',
    '€': '\\texteuro{}',
    '£': '\\pounds{}',
    µ: '$\\mu$',
    '′': '$\\prime$',
    '½': '$\\frac{1}{2}$',
    '¼': '$\\frac{1}{4}$',
    '¾': '$\\frac{3}{4}$',
    ß: '\\ss{}',
    æ: '\\ae{}',
    Æ: '\\AE{}',
    œ: '\\oe{}',
    Œ: '\\OE{}',
    ø: '\\o{}',
    Ø: '\\O{}',
    ł: '\\l{}',
    Ł: '\\L{}',
    đ: '\\dj{}',
    Đ: '\\DJ{}',
    ð: '\\dh{}',
    Ð: '\\DH{}',
    þ: '\\th{}',
    Þ: '\\TH{}',
    ŋ: '\\ng{}',
    Ŋ: '\\NG{}',
    ı: '\\i{}',
  }),
);

const greek =
  'alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho varsigma sigma tau upsilon varphi chi psi omega';
const greekCapitals = ['Gamma', 'Delta', 'Theta', 'Lambda', 'Xi', 'Pi', 'Sigma', 'Upsilon', 'Phi', 'Psi', 'Omega'];
for (const [index, name] of greek.split(' ').entries()) {
  const capital = `${name[0]!.toUpperCase()}${name.slice(1)}`;
  symbols.set(String.fromCodePoint(0x3b1 + index), name === 'omicron' ? '$o$' : `$\\${name}$`);
  if (greekCapitals.includes(capital)) symbols.set(String.fromCodePoint(0x391 + index), `$\\${capital}$`);
}
for (const [digit, [above, below]] of [...'⁰¹²³⁴⁵⁶⁷⁸⁹'].map((above, digit) => [digit, [above, '₀₁₂₃₄₅₆₇₈₉'[digit]!]] as const)) {
  symbols.set(above, `$^{${digit}}$`);
  symbols.set(below, `$_{${digit}}$`);
}

/** Commands that put a combining mark on a letter. */
const accents = new Map([
  ['\u0300', '`'],
  ['\u0301', "'"],
  ['\u0302', '^'],
  ['\u0303', '~'],
  ['\u0304', '='],
  ['\u0306', 'u'],
  ['\u0307', '.'],
  ['\u0308', '"'],
  ['\u030a', 'r'],
  ['\u030b', 'H'],
  ['\u030c', 'v'],
  ['\u0323', 'd'],
  ['\u0327', 'c'],
  ['\u0328', 'k'],
  ['\u0331', 'b'],
]);

/** Line breaks become blanks. */
export function latexText(text: string): string {
  const plain = text.toWellFormed().normalize('NFC').replace(/\s+/g, ' ');
  // Two of these would be joined to another sign, in LuaLaTeX also across an empty group.
  return plain.replace(/([-,'])(?=\1)|[\s\S]/gu, (char, doubled?: string) => (doubled ? `\\mbox{${doubled}}` : latexChar(char)));
}

/** The same with its line breaks, for cells of a fixed width. */
export function latexLines(text: string): string {
  return text
    .split(/\r\n|[\n\r\u2028\u2029]/)
    .map(latexText)
    .join('\\newline ');
}

/** A checksum or path in typewriter letters that may break anywhere after eight of them. */
export function latexCode(text: string): string {
  return `\\texttt{${(text.match(/[\s\S]{1,8}/gu) ?? []).map(latexText).join('\\allowbreak{}')}}`;
}

/** For the preamble of a document in which `\unicodeletter` occurs. */
export const unicodeLetterDefinition = String.raw`% Letters that are not in this font. pdfLaTeX shows [U+...] instead; XeLaTeX and LuaLaTeX show those that the main font has.
\ifdefined\XeTeXversion
  \DeclareRobustCommand{\unicodeletter}[1]{\iffontchar\font"#1 \char"#1\relax\else{\scriptsize[U+#1]}\allowbreak\fi}
\else\ifdefined\directlua
  \DeclareRobustCommand{\unicodeletter}[1]{\iffontchar\font"#1 \char"#1\relax\else{\scriptsize[U+#1]}\allowbreak\fi}
\else
  \DeclareRobustCommand{\unicodeletter}[1]{{\scriptsize[U+#1]}\allowbreak}
\fi\fi`;

function latexChar(char: string): string {
  const known = symbols.get(char);
  if (known !== undefined) return known;
  if (/[ -~]/.test(char)) return char;
  // Control characters and joiners have no shape.
  if (/[\p{Cc}\p{Cf}]/u.test(char)) return '';
  const [letter = '', mark = '', ...more] = char.normalize('NFD');
  const accent = accents.get(mark);
  if (/[A-Za-z]/.test(letter) && accent !== undefined && more.length === 0) return `\\${accent}{${letter}}`;
  return `\\unicodeletter{${char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}}`;
}
