/**
 * A canonical text for an answer, such that equal answers have equal texts: exact rationals for numbers, ordered tuples and
 * intervals, unordered sets and bare lists, otherwise the cleaned text.
 */
import { cleanAnswer, compact, joinThousands, stripAssignment } from './clean.ts';
import { evaluateExpression } from './expression.ts';
import { divide, formatRational, type Rational, rational } from './rational.ts';

/** Longer answers are compared as they stand; no short answer needs more. */
const maxLength = 2000;
const maxItems = 64;

/** Throws nothing; any text has a canonical form. */
export function canonicalAnswer(text: string): string {
  if (text.length > maxLength) return `text:${compact(text)}`;
  return canonicalPart(cleanAnswer(text), 0);
}

/** The exact value of an answer that is one number (also `1,234`, `50%`, `x = 5`), or null. */
export function numericAnswer(text: string): Rational | null {
  return text.length > maxLength ? null : numericValue(cleanAnswer(text));
}

function canonicalPart(part: string, depth: number): string {
  const text = stripAssignment(part).trim();
  const number = numericValue(text);
  if (number) return `#${formatRational(number)}`;
  if (depth < 4) {
    const items = (inside: string) => splitTopLevel(inside)?.map((item) => canonicalPart(item, depth + 1)) ?? null;
    const set = /^\\\{(.*)\\\}$/s.exec(text);
    if (set) return `{${(items(set[1]!) ?? [canonicalPart(set[1]!, depth + 1)]).sort().join(';')}}`;
    const tuple = /^([([])(.*)([)\]])$/s.exec(text);
    const tupleItems = tuple && items(tuple[2]!);
    if (tuple && tupleItems) return `${tuple[1]}${tupleItems.join(';')}${tuple[3]}`;
    const letter = /^\(\s*([A-Za-z])\s*\)$/.exec(text);
    if (letter) return `text:${letter[1]}`;
    const list = items(text);
    if (list) return `{${list.sort().join(';')}}`;
  }
  return `text:${compact(text)}`;
}

function numericValue(cleaned: string): Rational | null {
  const text = joinThousands(stripAssignment(cleaned)).trim();
  if (!text.endsWith('%')) return evaluateExpression(scientific(text));
  const value = evaluateExpression(text.slice(0, -1));
  const hundred = rational(100n);
  return value && hundred ? divide(value, hundred) : null;
}

/** `4.5e33` → `4.5*10^33`. */
function scientific(text: string): string {
  return text.replace(/^([-+]?(?:\d+\.?\d*|\.\d+))[eE]([-+]?\d{1,5})$/, (_, digits: string, exponent: string) => {
    return `${digits}*10^${exponent.replace('+', '')}`;
  });
}

/** Parts between commas (or "and"/"or") outside all brackets; null when there is only one part. */
function splitTopLevel(text: string): string[] | null {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    if ('([{'.includes(char)) depth += 1;
    if (')]}'.includes(char)) depth -= 1;
    if (char === ',' && depth === 0) {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  parts.push(text.slice(start));
  const trimmed = parts.flatMap((part) => part.split(/\s(?:and|or)\s/)).map((part) => part.trim());
  const items = trimmed.filter((part) => part !== '');
  return items.length > 1 && items.length <= maxItems ? items : null;
}
