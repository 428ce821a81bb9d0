/**
 * Problems with a written answer: Roundoff's own rows `{id, problem, answer}`, MATH and MATH-500, AIME and AMC (`answer`, text or number),
 * GSM8K (gold after `####` in `answer`), Minerva (last `\boxed{}` in `solution`) and OlympiadBench (`context` + `question`, list in
 * `final_answer`, tolerance in `error`).
 */
import { lastBoxed } from '../../verifiers/index.ts';
import { columnsOf, invalid, type Problem, type Row, textOf } from '../problem.ts';
import type { Layout } from './layout.ts';

export const maths: Layout = {
  title: 'written answers',
  kind: 'maths',
  columns: [],
  parse: (row, place) => ({ question: questionOf(row, place), gold: goldOf(row, place), ...detailsOf(row, place) }),
};

export const olympiadBench: Layout = { ...maths, title: 'OlympiadBench', columns: ['question', 'final_answer'] };
export const math: Layout = { ...maths, title: 'MATH', columns: ['problem', 'solution', 'level'] };
export const gsm8k: Layout = {
  ...maths,
  title: 'GSM8K',
  columns: ['question', 'answer'],
  fits: ({ answer }) => typeof answer === 'string' && answer.includes('####'),
};
export const minerva: Layout = { ...maths, title: 'Minerva', columns: ['problem', 'solution', 'type'] };

/** Level, subject and tolerance, where a row states them. */
export function detailsOf(row: Row, place: string): Pick<Problem, 'level' | 'subject' | 'tolerance'> {
  const level = Number(/\d+/.exec(String(row.level ?? ''))?.[0] ?? Number.NaN);
  const subject = textOf(row, ['subject', 'subfield', 'type', 'Subdomain', 'domain']);
  const tolerance = toleranceOf(row, place);
  return {
    ...(Number.isNaN(level) ? {} : { level }),
    ...(subject === '' ? {} : { subject }),
    ...(tolerance === null ? {} : { tolerance }),
  };
}

function questionOf(row: Row, place: string): string {
  const question = textOf(row, ['problem', 'question', 'Problem', 'Question']);
  if (question === '')
    throw invalid(place, `no question (${columnsOf(row)})`, 'Each row needs its question as text in "problem" or "question".');
  const context = textOf(row, ['context']);
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
  const answer = row.answer ?? row.Answer;
  if (typeof answer === 'number') return exactNumber(answer, place);
  if (typeof answer !== 'string') return null;
  const marker = answer.lastIndexOf('####');
  return marker < 0 ? answer : answer.slice(marker + 4);
}

function finalAnswerColumn(row: Row, place: string): string | null {
  const { final_answer: answers } = row;
  if (!Array.isArray(answers) || answers.length === 0) return typeof answers === 'string' ? answers : null;
  // Other units are dropped from answers anyway, but a percentage is another number.
  const unit = textOf(row, ['unit']) === '%' && !String(answers.at(-1)).includes('%') ? '\\%' : '';
  return answers.map((item) => `${typeof item === 'number' ? exactNumber(item, place) : String(item)}${unit}`).join(', ');
}

function boxedSolution(row: Row): string | null {
  const solution = row.solution ?? row.Solution;
  return typeof solution === 'string' ? lastBoxed(solution) : null;
}

/** OlympiadBench writes `1e-1`, or several for several answers, of which the largest is allowed. */
function toleranceOf(row: Row, place: string): number | null {
  const stated = row.tolerance ?? row.error;
  if (stated === null || stated === undefined || stated === '') return null;
  const values = String(stated).split(',').map(Number);
  if (values.every((value) => Number.isFinite(value) && value >= 0)) return Math.max(...values);
  throw invalid(place, `the allowed error "${String(stated)}" is not a number`, 'Write it as a number such as 0.01, or leave it out.');
}

/** JSON numbers beyond 2^53 have already lost digits when they arrive here. */
function exactNumber(value: number, place: string): string {
  if (Math.abs(value) <= Number.MAX_SAFE_INTEGER) return String(value);
  throw invalid(place, `the gold answer ${value} is too large to be read exactly as a number`, 'Write the answer as text, in quotes.');
}
