/**
 * Decides whether an answer equals the gold answer, by their structure down to single expressions. Not symmetric, as in Math-Verify: the gold
 * answer says what is asked for. `x = 5` answers 5, an interval answers a solved inequality; an inequality does not answer an interval.
 */
import { equalLeaves, type LeafRules } from './leaf.ts';
import { normaliseAnswer } from './normalise.ts';
import { equalRelations, inequalityAsInterval, isNamed, lastSide, rightSide } from './relations.ts';
import { type Answer, readAnswer } from './structure.ts';
import { withoutThousands } from './units.ts';

export interface CompareRules extends LeafRules {
  /** Throws when the comparison has taken too long. */
  checkTime(): void;
}

type Kind<K extends Answer['kind']> = Extract<Answer, { kind: K }>;

export async function equalAnswers(gold: string, answer: string, rules: CompareRules): Promise<boolean> {
  for (const asked of readings(gold)) for (const given of readings(answer)) if (await compare(asked, given, rules)) return true;
  return false;
}

/** A comma may separate thousands or items of a list; where both can be meant, both are tried. */
function readings(text: string): Answer[] {
  const plain = normaliseAnswer(text);
  const joined = withoutThousands(plain);
  return joined === null ? [readAnswer(plain)] : [readAnswer(joined), readAnswer(plain)];
}

async function compare(gold: Answer, answer: Answer, rules: CompareRules): Promise<boolean> {
  rules.checkTime();
  const again = (a: Answer, b: Answer) => compare(a, b, rules);
  if (gold.kind === 'relation' || answer.kind === 'relation') return compareRelations(gold, answer, again, rules);
  if (gold.kind === 'list') return compareList(gold, answer, again);
  if (gold.kind === 'set')
    return answer.kind === 'set' || answer.kind === 'list'
      ? sameSet(gold.items, answer.items, again)
      : gold.items.length === 1 && answer.kind === 'expression' && again(gold.items[0]!, answer);
  if (gold.kind === 'union') return answer.kind === 'union' && sameItems(gold.items, answer.items, again);
  if (gold.kind === 'tuple') return compareTuple(gold, answer, again);
  if (gold.kind === 'matrix') return compareMatrix(gold, answer, again);
  if (gold.kind === 'based') return answer.kind === 'based' && gold.base === answer.base && gold.digits === answer.digits;
  if (answer.kind === 'set' && answer.items.length === 1 && gold.kind === 'expression') return again(gold, answer.items[0]!);
  if (gold.kind === 'text' || answer.kind === 'text') return sameWords(gold, answer);
  if (gold.kind === 'expression' && answer.kind === 'expression') return equalLeaves(gold.text, answer.text, rules);
  return answer.kind === 'list' && allSame(answer.items, gold, again);
}

type Again = (gold: Answer, answer: Answer) => Promise<boolean>;

/** The same answer given twice is one answer. */
async function allSame(items: Answer[], gold: Answer, again: Again): Promise<boolean> {
  for (const item of items) if (!(await again(gold, item))) return false;
  return items.length > 0;
}

/** A relation answers what is no relation by its last side, and the other way round only where the gold one names a value. */
async function compareRelations(gold: Answer, answer: Answer, again: Again, rules: CompareRules): Promise<boolean> {
  if (gold.kind === 'relation' && answer.kind === 'relation') {
    if (await equalRelations(gold, answer, again, rules.checkTime)) return true;
    const set = answer.operators.includes('in') ? rightSide(answer) : null;
    const asked = gold.operators.includes('in') ? rightSide(gold) : inequalityAsInterval(gold);
    return set !== null && asked !== null && again(asked, set);
  }
  if (answer.kind === 'relation') {
    const approximate = answer.operators.indexOf('~');
    if (approximate >= 0 && (await again(gold, lastSide(answer, approximate)))) return true;
    const side = rightSide(answer);
    return side !== null && again(gold, side);
  }
  if (gold.kind !== 'relation') return false;
  const interval = inequalityAsInterval(gold);
  if (interval) return again(interval, answer);
  if (isNamed(gold)) return again(lastSide(gold), answer);
  return false;
}

/** Several answers come in any order; a tuple lists them in that of the gold answer. */
async function compareList(gold: Kind<'list'>, answer: Answer, again: Again): Promise<boolean> {
  if (answer.kind === 'list' || answer.kind === 'set') return sameItems(gold.items, answer.items, again);
  return answer.kind === 'tuple' && answer.open === '(' && answer.close === ')' && sameOrder(gold.items, answer.items, again);
}

/** An interval has two ends and says which belong to it; longer ones are vectors, where the bracket means nothing. */
async function compareTuple(gold: Kind<'tuple'>, answer: Answer, again: Again): Promise<boolean> {
  if (answer.kind === 'matrix' && answer.rows.every((row) => row.length === 1)) return sameOrder(gold.items, answer.rows.flat(), again);
  if (answer.kind === 'list' || answer.kind === 'set')
    return gold.open === '(' && gold.close === ')' && sameOrder(gold.items, answer.items, again);
  if (answer.kind !== 'tuple') return false;
  const brackets = gold.items.length !== 2 || (gold.open === answer.open && gold.close === answer.close);
  return brackets && sameOrder(gold.items, answer.items, again);
}

async function compareMatrix(gold: Kind<'matrix'>, answer: Answer, again: Again): Promise<boolean> {
  if (answer.kind === 'tuple' && gold.rows.every((row) => row.length === 1)) return sameOrder(gold.rows.flat(), answer.items, again);
  if (answer.kind !== 'matrix' || gold.rows.length !== answer.rows.length) return false;
  for (const [index, row] of gold.rows.entries()) if (!(await sameOrder(row, answer.rows[index]!, again))) return false;
  return true;
}

async function sameOrder(gold: Answer[], answer: Answer[], again: Again): Promise<boolean> {
  if (gold.length !== answer.length) return false;
  for (const [index, item] of gold.entries()) if (!(await again(item, answer[index]!))) return false;
  return true;
}

/** Each item has one of its own on the other side. */
async function sameItems(gold: Answer[], answer: Answer[], again: Again): Promise<boolean> {
  if (gold.length !== answer.length) return false;
  const left = [...answer];
  for (const item of gold) {
    const place = await indexOf(item, left, again);
    if (place < 0) return false;
    left.splice(place, 1);
  }
  return true;
}

/** Repetitions do not count in a set. */
async function sameSet(gold: Answer[], answer: Answer[], again: Again): Promise<boolean> {
  for (const item of gold) if ((await indexOf(item, answer, again)) < 0) return false;
  for (const item of answer) if ((await indexOf(item, gold, (a, b) => again(b, a))) < 0) return false;
  return true;
}

async function indexOf(item: Answer, among: Answer[], again: Again): Promise<number> {
  for (const [index, candidate] of among.entries()) if (await again(item, candidate)) return index;
  return -1;
}

function sameWords(gold: Answer, answer: Answer): boolean {
  const [a, b] = [wordsOf(gold), wordsOf(answer)];
  return a !== null && a !== '' && a === b;
}

/** Letters and digits alone, whatever their case; null for what is neither words nor an expression. */
function wordsOf(answer: Answer): string | null {
  if (answer.kind !== 'text' && answer.kind !== 'expression') return null;
  const words = answer.text.replace(/\\text\{([^{}]*)\}/g, '$1').toLowerCase();
  return words.replace(/^\s*(?:the|an?)\s+/, '').replace(/[^\p{L}\p{N}+\-*/=<>^%.]+/gu, '');
}
