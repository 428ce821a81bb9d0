/**
 * Compares two single answers (no lists, tuples, relations): as numbers where they have an exact value, else by sampling, and where that
 * leaves a doubt by computer algebra, which `algebra` asks for.
 */
import type { Rational } from '../rational.ts';
import { isFiniteComplex } from './complex.ts';
import { evaluateAt } from './evaluate.ts';
import { exactValue } from './exact.ts';
import { hasDecimal, type Node, some, symbolsOf } from './node.ts';
import { compactAnswer } from './normalise.ts';
import { equalDoubles, equalRationals, type NumberRules } from './numbers.ts';
import { readExpression } from './read-expression.ts';
import { compareBySampling } from './sample.ts';

export interface LeafRules {
  tolerance?: number;
  /** Computer algebra on normalised LaTeX; null when it cannot tell. Rejects when it runs out of time. */
  algebra(gold: string, answer: string): Promise<boolean | null>;
}

const maxAlgebraLength = 500;
/** Larger powers are not written out: they would keep computer algebra busy for hours. */
const maxPowerDigits = 3000;

export async function equalLeaves(gold: string, answer: string, rules: LeafRules): Promise<boolean> {
  if (compactAnswer(gold) === compactAnswer(answer)) return true;
  const { tolerance } = rules;
  const [a, b] = [readExpression(gold), readExpression(answer)];
  if (!a || !b) return isFormula(gold) && isFormula(answer) && ((await algebra(gold, answer, rules)) ?? false);
  const percent = comparePercent(a, b, rules);
  if (percent !== null) return percent;
  const exact = compareExactly(a, b, isPercent(a) && tolerance !== undefined ? { ...rules, tolerance: tolerance / 100 } : rules);
  if (exact !== null) return exact;
  if (isInfinite(a) && isInfinite(b)) return compareBySampling(a, b) === 'equal';
  const sampled = compareBySampling(a, b);
  if (sampled === 'different') return false;
  // Values that agree to fifteen digits need not be equal, so constants are looked at with more of them.
  if (sampled === 'equal' && (symbolsOf(a, b).length > 0 || hasDecimal(a) || hasDecimal(b))) return true;
  if (some(a, isHuge) || some(b, isHuge)) return false;
  return (await algebra(gold, answer, rules)) ?? sampled === 'equal';
}

/** A gold percentage is also met by its bare number, since questions ask "what percent"; an answer in percent is always a hundredth. */
function comparePercent(gold: Node, answer: Node, rules: LeafRules): boolean | null {
  if (!isPercent(gold)) return null;
  const inner = gold.args[0]!;
  const asWritten = isPercent(answer) ? answer.args[0]! : answer;
  const [value, written] = [exactValue(inner), exactValue(asWritten)];
  return value && written && equalRationals(value, written, numberRules(inner, asWritten, rules)) ? true : null;
}

const isInfinite = (node: Node) => some(node, (part) => part.kind === 'constant' && part.name === 'infinity');

function isPercent(node: Node): node is Extract<Node, { kind: 'call' }> {
  return node.kind === 'call' && node.name === 'percent';
}

/** Numbers: exact where both are rational, by rounding or tolerance where one is a decimal. Null when that does not decide. */
function compareExactly(gold: Node, answer: Node, rules: LeafRules): boolean | null {
  const numbers = numberRules(gold, answer, rules);
  const [a, b]: (Rational | null)[] = [exactValue(gold), exactValue(answer)];
  if (a && b) return equalRationals(a, b, numbers);
  if (symbolsOf(gold, answer).length > 0 || (!numbers.decimal && rules.tolerance === undefined)) return null;
  const [x, y] = [gold, answer].map((node) => evaluateAt(node, { symbols: new Map(), logBase: 'e' }));
  if (!x || !y || !isFiniteComplex(x) || !isFiniteComplex(y) || x[1] !== 0 || y[1] !== 0) return null;
  return equalDoubles(x[0], y[0], numbers) ? true : null;
}

function numberRules(gold: Node, answer: Node, { tolerance }: LeafRules): NumberRules {
  return { decimal: hasDecimal(gold) || hasDecimal(answer), ...(tolerance === undefined ? {} : { tolerance }) };
}

async function algebra(gold: string, answer: string, rules: LeafRules): Promise<boolean | null> {
  return Math.max(gold.length, answer.length) > maxAlgebraLength ? null : rules.algebra(gold, answer);
}

/** Whether a power in it has more digits than anyone writes. */
function isHuge(node: Node): boolean {
  if (node.kind !== 'call' || (node.name !== 'power' && node.name !== 'factorial')) return false;
  const [base, exponent] = node.args.map((arg) => Math.abs(evaluateAt(arg, { symbols: new Map(), logBase: 'e' })[0]));
  if (node.name === 'factorial') return base! > 1000;
  return Number.isNaN(exponent) ? some(node.args[1]!, isHuge) : exponent! * Math.log10(Math.max(10, base!)) > maxPowerDigits;
}

/** Not words, nor numbers side by side: they are compared as texts alone. */
function isFormula(text: string): boolean {
  return !/\\text|(?<![\\A-Za-z])[A-Za-z]{4,}|\d\s+\d/.test(text) && /[\d\\=+^_-]|^[A-Za-z]/.test(text);
}
