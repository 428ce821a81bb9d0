/**
 * Brings an extracted answer into a plain form before comparison: LaTeX spacing, delimiters, fraction variants, text wrappers,
 * units and currency go, as Math-Verify's normalisation does. Every step is a single linear replacement.
 */

const spacing = /\\[,;:! ]|\\q?quad\b|~|\u00a0|\u202f|\u2009/g;
const ignorable = /\\(?:left|right|displaystyle|textstyle|bigl|bigr|Bigl|Bigr|big|Big|limits)(?![a-zA-Z])/g;
const wrapper = /\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|rm|operatorname)\s?\{([^{}]{0,200})\}/g;
/** Words that turn a number into another one, or join answers; what follows a number is no unit if it contains one of these. */
const notUnits = /^(?:or|and|to|pi|hundred|thousand|million|billion|trillion|dozen|percent|if|when|mod|e|i|sqrt|times|over|plus|minus)$/i;

/** Removes what does not change the meaning. Percent signs stay, as `%`. */
export function cleanAnswer(text: string): string {
  let result = text.trim();
  result = result
    .replaceAll('\\$', ' ')
    .replaceAll('$', ' ')
    .replace(/\\[()[\]]/g, ' ');
  result = result
    .replaceAll('{,}', ',')
    .replace(/\\!/g, '')
    .replace(/(\d)\\,(?=\d{3}(?!\d))/g, '$1');
  result = result.replace(spacing, ' ').replace(ignorable, '');
  result = result
    .replace(/\\[dtc]frac(?![a-zA-Z])/g, '\\frac')
    .replaceAll('\\%', '%')
    .replace(/\\lbrace|\\\{/g, '\\{');
  result = result.replace(/\\rbrace/g, '\\}').replace(/\^\s?\{?\s?\\circ\s?\}?|\\degree|°/g, '');
  result = result.replace(/[−–]/g, '-').replaceAll('×', '\\times').replaceAll('·', '\\cdot').replaceAll('÷', '\\div');
  return trimPunctuation(stripUnits(result.trim()).replace(wrapper, '$1'));
}

/** Without white space at all, for comparing as text. */
export function compact(text: string): string {
  return text.replace(/\s+/g, '');
}

/** Drops a leading assignment (`x = 5`, `n=5`) but not an equation between expressions. */
export function stripAssignment(text: string): string {
  const match = /^\s*\\?[a-zA-Z]{1,10}(?:_\{?\w{1,10}\}?)?(?:\([a-zA-Z]\))?\s*(?:=|\\in(?![a-zA-Z]))\s*/.exec(text);
  return match && !text.slice(match[0].length).includes('=') ? text.slice(match[0].length) : text;
}

/** Removes thousands commas from `1,234,567.8`; other commas separate list items and stay. */
export function joinThousands(text: string): string {
  return /^\s*[-+]?\d{1,3}(?:,\d{3})+(?:\.\d*)?\s*%?\s*$/.test(text) ? text.replaceAll(',', '') : text;
}

/** `12 \text{ cm}^2`, `12 square units` → `12`. Only after a number, a closing brace or bracket. */
function stripUnits(text: string): string {
  const wrapped = /^(.*[\d})%])\s*\\(?:text|mathrm|mbox|textbf|rm)\s?\{\s*([^{}]{0,80})\}\s*(?:\^\s?\{?-?\d\}?)?[.\s]*$/s.exec(text);
  if (wrapped && isUnit(wrapped[2]!)) return wrapped[1]!;
  const plain =
    /^(\s*[-+]?[\d.,/]{1,1200}|.*\})(?:\s+(?=[a-zA-Z]{2})|(?=(?:cm|mm|km|kg|ft|hours?|minutes?|days?)\b))([a-zA-Z][a-zA-Z ]{0,79}\.?)(?:\^\s?\{?-?\d\}?)?\s*$/s.exec(
      text,
    );
  return plain && isUnit(plain[2]!) && plain[2]!.split(/[ .]+/).every(isLongOrKnown) ? plain[1]! : text;
}

/** Two letters after a number are more often a product of variables than a unit. */
function isLongOrKnown(word: string): boolean {
  return word.length !== 1 && (word.length !== 2 || /^(?:cm|mm|km|kg|mg|ml|ft|in|mi|oz|lb|hr|of|sq)$/.test(word));
}

function isUnit(text: string): boolean {
  return text.split(/[^a-zA-Z]+/).every((word) => !notUnits.test(word));
}

function trimPunctuation(text: string): string {
  return text
    .replace(/^[\s:*]+/, '')
    .replace(/[.,;:*\s]{1,20}$/, '')
    .trim();
}
