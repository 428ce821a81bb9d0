/**
 * A problem as the evaluation sees it, and what the readers of all layouts share: the identity of a row, text columns, and errors that name
 * the place and the remedy.
 */
import { RoundoffError } from '#contract/errors.ts';
import { RandomStream } from '../data/random-stream.ts';
import type { CodeTests } from '../verifiers/code/code-tests.ts';

export interface Problem {
  id: string;
  question: string;
  /** The right answer: a value, or the letter of the right choice; for code how many tests have to pass. */
  gold: string;
  /** Of multiple choice, in the order of their letters; of likelihood problems the endings that are compared. */
  choices?: string[];
  /** The right choice's place is drawn from the seed; until then it is the first. */
  seededOrder?: boolean;
  /** Of likelihood problems: what stands before each ending, where it is not the question. */
  contexts?: string[];
  /** Largest absolute error that still counts as right. */
  tolerance?: number;
  level?: number;
  subject?: string;
  /** Of code: what the program has to pass, decoded anew with each call, and what it starts from. */
  readTests?(): CodeTests;
  starterCode?: string;
  /** A worked solution, read only where it is asked for. */
  solution?: string;
}

export type Row = Record<string, unknown>;

/** The letter of choice number `index`. */
export function choiceLetter(index: number): string {
  return String.fromCharCode(65 + index);
}

/** The problem as it is asked under `seed`: the right choice stands where the seed puts it, the wrong ones keep their order. */
export function withSeededOrder(problem: Problem, seed: number): Problem {
  if (!problem.seededOrder || !problem.choices) return problem;
  const [right, ...wrong] = problem.choices;
  const place = new RandomStream(seed, 'choices', problem.id).integer(0, wrong.length);
  return { ...problem, choices: [...wrong.slice(0, place), right!, ...wrong.slice(place)], gold: choiceLetter(place) };
}

/** The share of right answers that always giving the same letter would reach, for the best letter; null for other problems. */
export function constantLetterFloor(problems: readonly Problem[], seeds: readonly number[]): number | null {
  if (problems.length === 0 || problems.some((problem) => !problem.choices || problem.contexts)) return null;
  const golds = seeds.flatMap((seed) => problems.map((problem) => withSeededOrder(problem, seed).gold));
  const counts = [...Map.groupBy(golds, (letter) => letter).values()].map((list) => list.length);
  return Math.max(...counts) / golds.length;
}

/** `position` (1-based) is the identity of rows without one. Throws `dataset-invalid`. */
export function problemId(row: Row, place: string, position: number): string {
  const column = idColumns.find((name) => row[name] !== undefined && row[name] !== null);
  if (column === undefined) return String(position);
  const value = row[column];
  if ((typeof value === 'string' && value.trim() !== '') || Number.isSafeInteger(value)) return String(value);
  throw invalid(
    place,
    `"${column}" is neither text nor a whole number`,
    `Give the row a text or whole-number "${column}", or leave it out.`,
  );
}

const idColumns = ['id', 'unique_id', 'idx', 'ID', 'question_id', 'Record ID'];

/** The text of the first of `columns` that has any, trimmed; '' for none. */
export function textOf(row: Row, columns: readonly string[]): string {
  const column = columns.find((name) => typeof row[name] === 'string' && (row[name] as string).trim() !== '');
  return column === undefined ? '' : (row[column] as string).trim();
}

/** The text of a column that must be there. Throws `dataset-invalid`. */
export function requiredText(row: Row, column: string, place: string): string {
  const text = textOf(row, [column]);
  if (text !== '') return text;
  throw invalid(place, `no text in "${column}" (${columnsOf(row)})`, `Each row needs text in "${column}".`);
}

/** A list of texts, also when it is written as JSON text. Null for anything else. */
export function textList(value: unknown): string[] | null {
  let list = value;
  if (typeof value === 'string' && value.trimStart().startsWith('[')) {
    try {
      list = JSON.parse(value);
    } catch {
      return null;
    }
  }
  return Array.isArray(list) && list.length > 0 && list.every((item) => typeof item === 'string' || typeof item === 'number')
    ? list.map((item) => String(item).trim())
    : null;
}

/** What a row has, for error messages. */
export function columnsOf(row: Row): string {
  return `it has ${Object.keys(row).slice(0, 12).join(', ') || 'no columns'}`;
}

export function invalid(place: string, message: string, hint: string): RoundoffError {
  return new RoundoffError('dataset-invalid', `${place}: ${message}.`, hint);
}
