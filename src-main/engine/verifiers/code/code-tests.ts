/**
 * The tests of a code problem. `stdin` programs read `input` and print `expected`. `functional` answers define `functionName`, as a
 * method of `class Solution` or at the top; `input` has one JSON argument a line and `expected` is the JSON of the result.
 */
import { RoundoffError } from '#contract/errors.ts';

export interface CodeCase {
  input: string;
  expected: string;
}

export interface CodeTests {
  kind: 'stdin' | 'functional';
  /** Of `functional` tests, else null. */
  functionName: string | null;
  /** In the order they are run: the first that fails decides. */
  cases: CodeCase[];
}

/** Checks tests that come as data, `{kind, functionName?, cases: [{input, expected}]}`. Throws `dataset-invalid`; `place` names file and row. */
export function parseCodeTests(value: unknown, place: string): CodeTests {
  const { kind, functionName = null, cases } = (value ?? {}) as Record<string, unknown>;
  if (kind !== 'stdin' && kind !== 'functional')
    throw invalidTests(place, 'the tests are of no known kind', 'Set "kind" to "stdin" or "functional".');
  if (!Array.isArray(cases)) throw invalidTests(place, 'the tests have no list of cases', 'Give "cases" as a list of {input, expected}.');
  const checked = cases.map((item: unknown, index) => {
    const { input, expected } = (item ?? {}) as Record<string, unknown>;
    if (typeof input === 'string' && typeof expected === 'string') return { input, expected };
    throw invalidTests(`${place}, test ${index + 1}`, 'the input or the expected output is no text', 'Give both as text.');
  });
  return checkCodeTests({ kind, functionName: functionName as string | null, cases: checked }, place);
}

/** What both the kinds of tests need. Throws `dataset-invalid`; gives back what it got. */
export function checkCodeTests(tests: CodeTests, place: string): CodeTests {
  if (tests.cases.length === 0) throw invalidTests(place, 'there are no tests', 'A code problem needs at least one test.');
  if (tests.kind === 'stdin') {
    if (tests.functionName === null) return tests;
    throw invalidTests(
      place,
      'tests that read standard input name a function',
      'Leave the function name out, or make the tests functional.',
    );
  }
  if (typeof tests.functionName !== 'string' || !/^[A-Za-z_]\w*$/.test(tests.functionName))
    throw invalidTests(place, 'functional tests name no function', 'Name the method to call (LiveCodeBench: "func_name" in "metadata").');
  for (const [index, { input, expected }] of tests.cases.entries()) {
    const where = `${place}, test ${index + 1}`;
    for (const line of input.split('\n')) checkJson(line, where, 'an argument');
    checkJson(expected, where, 'the expected result');
  }
  return tests;
}

export function invalidTests(place: string, message: string, hint: string): RoundoffError {
  return new RoundoffError('dataset-invalid', `${place}: ${message}.`, hint);
}

function checkJson(text: string, where: string, what: string): void {
  try {
    JSON.parse(text);
  } catch {
    throw invalidTests(where, `${what} is not JSON (${JSON.stringify(text.slice(0, 40))})`, 'Give one JSON value a line.');
  }
}
