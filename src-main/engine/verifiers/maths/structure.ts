/**
 * Takes an answer apart: lists, sets, tuples and intervals, unions, matrices, relations, numbers in a base, words. What remains are single
 * expressions, kept as text.
 */
import { compactAnswer, rowBreak } from './normalise.ts';
import { isEnclosed, splitList, splitTopLevel, unwrapped } from './split.ts';
import { joinThousands, stripUnits } from './units.ts';

export type Answer =
  | { kind: 'list'; items: Answer[] }
  | { kind: 'set'; items: Answer[] }
  | { kind: 'tuple'; open: '(' | '['; close: ')' | ']'; items: Answer[] }
  | { kind: 'union'; items: Answer[] }
  | { kind: 'matrix'; rows: Answer[][] }
  | { kind: 'relation'; sides: Answer[]; operators: Operator[] }
  | { kind: 'based'; digits: string; base: string }
  | { kind: 'text'; text: string }
  | { kind: 'expression'; text: string };

export type Operator = '=' | '<' | '<=' | '>' | '>=' | '!=' | '~' | 'in';

const maxDepth = 6;
const maxItems = 64;
const operators: [RegExp, Operator][] = [
  [/^\\le(?![a-zA-Z])/, '<='],
  [/^\\ge(?![a-zA-Z])/, '>='],
  [/^\\ne(?![a-zA-Z])/, '!='],
  [/^\\approx(?![a-zA-Z])/, '~'],
  [/^\\in(?![a-zA-Z])/, 'in'],
  [/^[=<>]/, '='],
];

/** `text` is normalised. */
export function readAnswer(text: string, depth = 0): Answer {
  const part = stripUnits(unwrapped(text));
  if (depth > maxDepth) return { kind: 'expression', text: part };
  const deeper = (inner: string) => readAnswer(inner, depth + 1);
  const many = (texts: string[]) => texts.map(deeper);
  const joined = joinThousands(part);
  if (joined !== null) return { kind: 'expression', text: joined };
  const word = /^\\text\{([^{}]*)\}$/.exec(part) ?? /^[("']*\\text\{([^{}]*)\}[)"']*$/.exec(part);
  if (word) return wordOrNumber(word[1]!);
  const items = splitList(part);
  if (items && items.length <= maxItems)
    return { kind: 'list', items: many(items).flatMap((item) => (item.kind === 'list' ? item.items : [item])) };
  const relation = readRelation(part, deeper);
  if (relation) return relation;
  const parts = splitTopLevel(part, /^\\cup(?![a-zA-Z])/);
  if (parts.length > 1) return { kind: 'union', items: many(parts) };
  return readEnclosed(part, deeper) ?? readSingle(part, deeper);
}

function readEnclosed(part: string, deeper: (text: string) => Answer): Answer | null {
  const set = /^\\\{(.*)\\\}$/s.exec(part);
  if (set && isEnclosed(part)) {
    const items = set[1]!.trim() === '' ? [] : (splitList(set[1]!) ?? [set[1]!]).map(deeper);
    return { kind: 'set', items: items.flatMap((item) => (item.kind === 'list' ? item.items : [item])) };
  }
  const matrix = readMatrix(part, deeper);
  if (matrix) return matrix;
  const tuple = /^(\(|\[|\\langle\s)(.*)(\)|\]|\\rangle)$/s.exec(part);
  const inside = tuple && splitTopLevel(tuple[2]!, /^[,;]/);
  if (!tuple || !inside || !isEnclosed(part) || inside.length < 2 || inside.length > maxItems || inside.some((item) => item === ''))
    return null;
  return { kind: 'tuple', open: tuple[1] === '[' ? '[' : '(', close: tuple[3] === ']' ? ']' : ')', items: inside.map(deeper) };
}

function readSingle(part: string, deeper: (text: string) => Answer): Answer {
  if (/\\pm|\\mp/.test(part)) {
    const branches = [part.replace(/\\pm/g, '+').replace(/\\mp/g, '-'), part.replace(/\\pm/g, '-').replace(/\\mp/g, '+')];
    return { kind: 'list', items: branches.map(deeper) };
  }
  const based = /^([0-9A-Fa-f]+)\s?_\s?\{?\s?(?:\\text\{)?\s?(\w{1,12})\s?\}*$/.exec(part);
  if (based && /^\d{1,2}$/.test(baseOf(based[2]!)) && /\d/.test(based[1]!)) return inBase(based[1]!, baseOf(based[2]!));
  const spelled = /^([0-9A-Fa-f]+)\s?(?:\\text\{\s?)?\(?base[\s-](\w{1,12})\)?\s?\}?$/.exec(part);
  if (spelled && /^\d{1,2}$/.test(baseOf(spelled[2]!))) return inBase(spelled[1]!, baseOf(spelled[2]!));
  const letter = /^\(\s*([A-Z])\s*\)$/.exec(part);
  if (letter) return { kind: 'text', text: letter[1]! };
  if (/^[A-Za-z]+(?:['\s-][A-Za-z]+)*$/.test(part) && /[A-Za-z]{4,}/.test(part) && !/^(?:sin|cos|tan|log|sqrt|arc)/.test(part))
    return { kind: 'text', text: part };
  return { kind: 'expression', text: part };
}

/** A chain such as `0 < x \le 5`. */
function readRelation(part: string, deeper: (text: string) => Answer): Answer | null {
  const found: Operator[] = [];
  const sides = splitTopLevel(part, (rest) => {
    const hit = operators.find(([pattern]) => pattern.test(rest));
    if (!hit) return 0;
    const sign = /^[=<>]/.exec(rest)?.[0] as Operator | undefined;
    found.push(sign ?? hit[1]);
    return hit[0].exec(rest)![0].length;
  });
  if (sides.length < 2 || sides.length > 8 || sides.some((side) => side === '')) return null;
  return { kind: 'relation', sides: sides.map(deeper), operators: found };
}

/** `\begin{pmatrix} a & b \\ c & d \end{pmatrix}`, with a factor before it taken into every cell. */
function readMatrix(part: string, deeper: (text: string) => Answer): Answer | null {
  const found = /^(.{0,200}?)[([]?\s?\\begin\{(p|b|small|)(matrix|array)\}(?:\{[lcr| ]*\})?(.*)\\end\{\2\3\}\s?[)\]]?$/s.exec(part);
  if (!found || found[4]!.includes('\\begin')) return null;
  const before = found[1]!.replace(/\\cdot|\\times|\*/g, '').trim();
  const factor = before === '-' ? '-1' : before;
  const rows = found[4]!
    .split(rowBreak)
    .map((row) => row.replace(/\\hline/g, '').trim())
    .filter((row) => row !== '')
    .map((row) => row.split('&').map((cell) => cell.trim()));
  if (rows.length === 0 || rows.length * rows[0]!.length > 400 || rows.some((row) => row.length !== rows[0]!.length)) return null;
  return { kind: 'matrix', rows: rows.map((row) => row.map((cell) => deeper(factor === '' ? cell : `(${factor})(${cell})`))) };
}

/** `\text{5}` is the number, `\text{(C)}` the letter. */
function wordOrNumber(words: string): Answer {
  const bare = words.trim().replace(/^["'(]+|["').,]+$/g, '');
  return /^[-+]?[\d.,/]+$/.test(bare) ? readAnswer(bare, 1) : { kind: 'text', text: bare };
}

const baseNames = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten', 'eleven', 'twelve'];

function baseOf(name: string): string {
  const place = baseNames.indexOf(name.toLowerCase());
  return place >= 0 ? String(place) : name.toLowerCase() === 'sixteen' ? '16' : name;
}

/** Base ten is how numbers are written anyway. */
function inBase(digits: string, base: string): Answer {
  if (base === '10') return { kind: 'expression', text: digits };
  return {
    kind: 'based',
    digits: compactAnswer(digits)
      .toUpperCase()
      .replace(/^0+(?=.)/, ''),
    base,
  };
}
