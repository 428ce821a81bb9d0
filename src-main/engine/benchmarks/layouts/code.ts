/**
 * Programs judged by tests: LiveCodeBench's rows, and mapped ones with the same tests in a column. Tests are read once to check them and again
 * when an answer is judged: decoded, those of a whole benchmark take gigabytes.
 */
import { parseLiveCodeBenchTests } from '../live-code-bench.ts';
import { type Problem, type Row, requiredText, textOf } from '../problem.ts';
import type { Layout } from './layout.ts';
import { detailsOf } from './maths.ts';

export const liveCodeBench: Layout = {
  title: 'LiveCodeBench',
  kind: 'code',
  columns: ['question_content', 'public_test_cases', 'private_test_cases'],
  parse: (row, place) => codeProblem(row, row, requiredText(row, 'question_content', place), place),
};

/** `tests`: all tests of a row, in LiveCodeBench's form. */
export const mappedCode: Layout = {
  title: 'mapped columns, code',
  kind: 'code',
  columns: ['question', 'tests'],
  parse: (row, place) => {
    const tests = { public_test_cases: row.tests, private_test_cases: [], metadata: row.metadata ?? null };
    return codeProblem(row, tests, requiredText(row, 'question', place), place);
  },
};

function codeProblem(row: Row, tests: Row, question: string, place: string): Omit<Problem, 'id'> {
  const readTests = () => parseLiveCodeBenchTests(tests, place);
  const count = readTests().cases.length;
  const starterCode = textOf(row, ['starter_code', 'starterCode']);
  return {
    question,
    gold: count === 1 ? 'passes its test' : `passes all ${count} tests`,
    readTests,
    ...(starterCode === '' ? {} : { starterCode }),
    ...detailsOf(row, place),
  };
}
