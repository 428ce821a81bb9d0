/**
 * One row of a benchmark file → one problem. Understands Roundoff's own rows `{id, problem, answer}` and the publishers'
 * conventions: MATH-500, AIME and AMC (`answer`, text or number), GSM8K (gold after `####` in `answer`), Minerva (last `\boxed{}` in
 * `solution`) and OlympiadBench (`context` + `question`, list in `final_answer`).
 */
import { RoundoffError } from '#contract/errors.ts';
import { lastBoxed } from '../verifiers/index.ts';

export interface Problem {
  id: string;
  question: string;
  gold: string;
}

type Row = Record<string, unknown>;

/** `place` names file and line for errors; `position` (1-based) is the identity of rows without one. Throws `dataset-invalid`. */
export function parseProblem(row: Row, place: string, position: number): Problem {
  return { id: problemId(row, place, position), question: questionOf(row, place), gold: goldOf(row, place) };
}

/** What an exact verifier leaves out of account in this row, or null. */
export function gradingCaveat(row: Row): string | null {
  return row.error === null || row.error === undefined ? null : `allows an error of ${String(row.error)}, but answers are compared exactly`;
}

function problemId(row: Row, place: string, position: number): string {
  const column = ['id', 'unique_id', 'idx'].find((name) => row[name] !== undefined && row[name] !== null);
  if (column === undefined) return String(position);
  const value = row[column];
  if ((typeof value === 'string' && value.trim() !== '') || Number.isSafeInteger(value)) return String(value);
  throw invalid(
    place,
    `"${column}" is neither text nor a whole number`,
    `Give the row a text or whole-number "${column}", or leave it out.`,
  );
}

function questionOf(row: Row, place: string): string {
  const column = ['problem', 'question'].find((name) => typeof row[name] === 'string');
  const question = column === undefined ? '' : (row[column] as string).trim();
  if (question === '') {
    const has = `it has ${Object.keys(row).slice(0, 12).join(', ') || 'no columns'}`;
    throw invalid(place, `no question (${has})`, 'Each row needs its question as text in "problem" or "question".');
  }
  const context = typeof row.context === 'string' ? row.context.trim() : '';
  return context === '' ? question : `${context}\n\n${question}`;
}

function goldOf(row: Row, place: string): string {
  const gold = (answerColumn(row, place) ?? finalAnswerColumn(row, place) ?? boxedSolution(row) ?? '').trim();
  if (gold !== '') return gold;
  const hint =
    'Each row needs its gold answer in "answer" (text or number), "final_answer" (list), or in the last \\boxed{} of "solution".';
  throw invalid(place, 'no gold answer', hint);
}

function answerColumn(row: Row, place: string): string | null {
  const { answer } = row;
  if (typeof answer === 'number') return exactNumber(answer, place);
  if (typeof answer !== 'string') return null;
  const marker = answer.lastIndexOf('####');
  return marker < 0 ? answer : answer.slice(marker + 4);
}

function finalAnswerColumn(row: Row, place: string): string | null {
  const { final_answer: answers } = row;
  if (!Array.isArray(answers) || answers.length === 0) return typeof answers === 'string' ? answers : null;
  return answers.map((item) => (typeof item === 'number' ? exactNumber(item, place) : String(item))).join(', ');
}

function boxedSolution(row: Row): string | null {
  return typeof row.solution === 'string' ? lastBoxed(row.solution) : null;
}

/** JSON numbers beyond 2^53 have already lost digits when they arrive here. */
function exactNumber(value: number, place: string): string {
  if (Math.abs(value) <= Number.MAX_SAFE_INTEGER) return String(value);
  throw invalid(place, `the gold answer ${value} is too large to be read exactly as a number`, 'Write the answer as text, in quotes.');
}

function invalid(place: string, message: string, hint: string): RoundoffError {
  return new RoundoffError('dataset-invalid', `${place}: ${message}.`, hint);
}
