/**
 * The tests of a LiveCodeBench row: `public_test_cases` is JSON text; `private_test_cases` is JSON text too, or base64 of zlib of a
 * pickled JSON text. `metadata.func_name` names the function of functional tests. (livecodebench/code_generation_lite, MIT)
 */
import { inflateSync } from 'node:zlib';
import { type CodeCase, type CodeTests, checkCodeTests, invalidTests } from '../verifiers/code/code-tests.ts';
import { readStringPickle } from './string-pickle.ts';

/** A text has to fit into one string; no published row comes near. */
const maxTestBytes = 400 * 2 ** 20;

/** Public tests first, then private ones, as LiveCodeBench runs them. Throws `dataset-invalid` naming `place`, column and remedy. */
export function parseLiveCodeBenchTests(row: Record<string, unknown>, place: string): CodeTests {
  const named = [
    ...parseCases(row.public_test_cases, `${place}, public_test_cases`),
    ...parseCases(decodePrivate(row.private_test_cases, `${place}, private_test_cases`), `${place}, private_test_cases`),
  ];
  const kinds = new Set(named.map(({ kind }) => kind));
  if (kinds.size > 1)
    throw invalidTests(place, 'some tests are functional and some read standard input', 'Give tests of one kind in a row.');
  const cases = named.map(({ input, expected }) => ({ input, expected }));
  if (!kinds.has('functional')) return checkCodeTests({ kind: 'stdin', functionName: null, cases }, place);
  return checkCodeTests({ kind: 'functional', functionName: functionName(row.metadata, `${place}, metadata`), cases }, place);
}

interface NamedCase extends CodeCase {
  kind: CodeTests['kind'];
}

function parseCases(value: unknown, place: string): NamedCase[] {
  const list = typeof value === 'string' ? parseJson(value, place) : value;
  if (!Array.isArray(list))
    throw invalidTests(place, 'there is no list of tests', 'Give a list of {input, output, testtype}, as JSON text.');
  return list.map((item: unknown, index) => {
    const { input, output, testtype } = (item ?? {}) as Record<string, unknown>;
    const where = `${place}, test ${index + 1}`;
    if (typeof input !== 'string' || typeof output !== 'string')
      throw invalidTests(where, '"input" or "output" is no text', 'Give both as text.');
    if (testtype !== 'stdin' && testtype !== 'functional')
      throw invalidTests(where, `"testtype" is ${JSON.stringify(testtype)}`, 'Set it to "stdin" or "functional".');
    return { kind: testtype, input, expected: output };
  });
}

/** Text that begins like a JSON list stays; anything else has to be base64 of zlib of a pickle. */
function decodePrivate(value: unknown, place: string): unknown {
  if (typeof value !== 'string' || value.trimStart().startsWith('[')) return value;
  const text = value.trim();
  if (text === '' || !/^[A-Za-z0-9+/\s]+={0,2}$/.test(text))
    throw invalidTests(place, 'the text is neither JSON nor base64', 'Get the file from its publisher again.');
  return readStringPickle(inflate(Buffer.from(text, 'base64'), place), place);
}

function inflate(bytes: Buffer, place: string): Buffer {
  try {
    return inflateSync(bytes, { maxOutputLength: maxTestBytes });
  } catch (error) {
    const tooLarge = (error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE';
    const message = tooLarge ? `the tests are larger than ${maxTestBytes / 2 ** 20} MiB` : 'the text is not compressed by zlib';
    throw invalidTests(place, message, tooLarge ? 'Leave this row out.' : 'Get the file from its publisher again.');
  }
}

function functionName(metadata: unknown, place: string): string | null {
  const fields = typeof metadata === 'string' ? parseJson(metadata, place) : metadata;
  const name = (fields as { func_name?: unknown } | null | undefined)?.func_name;
  return typeof name === 'string' ? name : null;
}

function parseJson(text: string, place: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw invalidTests(place, `the text is not JSON (${(error as Error).message})`, 'Get the file from its publisher again.');
  }
}
