/** Equality of equations and inequalities: rearranged, scaled, flipped. */
import type { Complex } from './complex.ts';
import { call, type Node, symbolsOf } from './node.ts';
import { compactAnswer } from './normalise.ts';
import { readExpression } from './read-expression.ts';
import { compareBySampling, constantRatio } from './sample.ts';
import type { Answer, Operator } from './structure.ts';

type Relation = Extract<Answer, { kind: 'relation' }>;
type Again = (gold: Answer, answer: Answer) => Promise<boolean>;

interface Pair {
  left: Answer;
  operator: Operator;
  right: Answer;
}

/** `x = …`, `f(x) = …`, `\angle ABC = …`, `a_3 = …`: the left side names a value, an unknown alone or a function of one. */
const name =
  /^(?:\\?[A-Za-z]+'*|\\(?:angle|triangle|overline|text)\s?\{?[A-Za-z ]+\}?)(?:_(?:\w|\{[^{}]{1,12}\}|\\max|\\min))?(?:\([A-Za-z0-9,]{1,12}\))?$/;

export function isNamed(relation: Relation): boolean {
  const [first] = relation.sides;
  const allowed = relation.operators.every((operator) => operator === '=' || operator === '~' || operator === 'in');
  return allowed && first?.kind === 'expression' && name.test(compactAnswer(first.text));
}

/** The last side of a chain of equations, or the one before the operator at `before`. */
export function lastSide(relation: Relation, before = relation.sides.length - 1): Answer {
  return relation.sides[before]!;
}

/** What `x = 5`, `a + b = 5`, `x \in [1, 2]` state as the answer; null for inequalities, which state none. */
export function rightSide(relation: Relation): Answer | null {
  return relation.operators.some((operator) => !['=', '~', 'in'].includes(operator)) ? null : lastSide(relation);
}

/** `1 < x \le 2` and `x > 3` as intervals; null for what is not solved for one unknown. */
export function inequalityAsInterval({ sides, operators }: Relation): Answer | null {
  if (operators.some((operator) => !['<', '<=', '>', '>='].includes(operator))) return null;
  const unknown = sides.findIndex(
    (side) => side.kind === 'expression' && /^\\?[A-Za-z]+$/.test(side.text.trim()) && side.text.trim() !== '\\pi',
  );
  const descending = operators.every((operator) => operator.startsWith('>'));
  if (unknown < 0 || (!descending && operators.some((operator) => operator.startsWith('>')))) return null;
  const infinite = (sign: string): Answer => ({ kind: 'expression', text: `${sign}\\infty` });
  const ordered = descending ? { sides: [...sides].reverse(), operators: [...operators].reverse() } : { sides, operators };
  const at = descending ? sides.length - 1 - unknown : unknown;
  const closed = (operator: Operator | undefined) => operator?.endsWith('=') ?? false;
  if (ordered.sides.length === 3 && at !== 1) return null;
  const [low, high] = at === 0 ? [infinite('-'), ordered.sides[1]!] : [ordered.sides[at - 1]!, ordered.sides[at + 1] ?? infinite('')];
  const [lowClosed, highClosed] =
    at === 0 ? [false, closed(ordered.operators[0])] : [closed(ordered.operators[at - 1]), closed(ordered.operators[at])];
  return { kind: 'tuple', open: lowClosed ? '[' : '(', close: highClosed ? ']' : ')', items: [low, high] };
}

/** Every pair of sides of the one chain is one of the other; equations of the same name by their values. */
export async function equalRelations(gold: Relation, answer: Relation, again: Again, checkTime: () => void): Promise<boolean> {
  if (isNamed(gold) && isNamed(answer) && gold.operators[0] === '=' && answer.operators[0] === '=') {
    const [goldSide, answerSide] = [lastSide(gold), renamed(gold, answer)];
    if (answerSide && (await again(goldSide, answerSide))) return true;
  }
  const [pairs, left] = [pairsOf(gold), pairsOf(answer)];
  if (pairs.length !== left.length) return false;
  for (const pair of pairs) {
    let place = -1;
    for (let index = 0; index < left.length && place < 0; index++) {
      checkTime();
      if (await equalPairs(pair, left[index]!, again)) place = index;
    }
    if (place < 0) return false;
    left.splice(place, 1);
  }
  return true;
}

/** The answer's value, if it is of the same name; a function's argument may be called otherwise. */
function renamed(gold: Relation, answer: Relation): Answer | null {
  const [a, b] = [gold.sides[0]!, answer.sides[0]!].map((side) => (side.kind === 'expression' ? compactAnswer(side.text) : ''));
  const value = lastSide(answer);
  if (a === b) return value;
  const functionOf = /^([A-Za-z])\(([A-Za-z])\)$/;
  const [from, to] = [functionOf.exec(b!), functionOf.exec(a!)];
  if (!from || !to || value.kind !== 'expression') return null;
  return {
    kind: 'expression',
    text: value.text.replace(/\\?[A-Za-z]+/g, (run) =>
      run === from[2] || (!run.startsWith('\\') && run.length <= 3) ? run.replaceAll(from[2]!, to[2]!) : run,
    ),
  };
}

/** Neighbouring sides, smaller one first. */
function pairsOf({ sides, operators }: Relation): Pair[] {
  return operators.map((operator, index) => {
    const [left, right] = [sides[index]!, sides[index + 1]!];
    if (operator === '>') return { left: right, operator: '<', right: left };
    if (operator === '>=') return { left: right, operator: '<=', right: left };
    return { left, operator, right };
  });
}

async function equalPairs(gold: Pair, answer: Pair, again: Again): Promise<boolean> {
  if (gold.operator !== answer.operator) return false;
  if ((await again(gold.left, answer.left)) && (await again(gold.right, answer.right))) return true;
  const unordered = gold.operator === '=' || gold.operator === '!=';
  if (unordered && (await again(gold.left, answer.right)) && (await again(gold.right, answer.left))) return true;
  if (gold.operator === 'in' || gold.operator === '~') return false;
  const [a, b] = [differenceOf(gold), differenceOf(answer)];
  if (!a || !b || symbolsOf(a, b).length === 0) return false;
  const ratio = constantRatio(a, b);
  return ratio !== null && (unordered || isPositive(ratio));
}

function differenceOf({ left, right }: Pair): Node | null {
  if (left.kind !== 'expression' || right.kind !== 'expression') return null;
  const [a, b] = [readExpression(left.text), readExpression(right.text)];
  return a && b && compareBySampling(a, b) !== 'equal' ? call('add', a, call('negate', b)) : null;
}

const isPositive = ([re, im]: Complex): boolean => re > 0 && Math.abs(im) < 1e-9 * re;
