import { deflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { parseLiveCodeBenchTests } from '../../../../src-main/engine/benchmarks/live-code-bench.ts';

const stdin = (input: string, output: string) => ({ input, output, testtype: 'stdin' });
const publicTests = JSON.stringify([stdin('1\n', '1\n')]);
const parse = (privateTests: unknown, more: object = {}) =>
  parseLiveCodeBenchTests({ public_test_cases: publicTests, private_test_cases: privateTests, ...more }, 'test.jsonl, line 1');

/** Made by CPython: base64(zlib.compress(pickle.dumps(json.dumps([...]), protocol))). */
const pickled = {
  1: 'eNqLcGJgYIiuVsrMKygtUbJSUDKOyTNUMFIAUko6Ckr5pSVQcTOFwyshYiWpxSUllQWpINHikpTMPKXa2EIGPQAGVxXW',
  2: 'eNprYIpwYmBgiK5WyswrKC1RslJQMo7JM1QwUgBSSjoKSvmlJVBxM4XDKyFiJanFJSWVBakg0eKSlMw8pdrYQgY9ACzvFlg=',
  4: 'eNprYJnqxgABPU7R1UqZeQWlJUpWCkrGMXmGCkYKQEpJR0Epv7QEKm6mcHglRKwktbikpLIgFSRaXJKSmadUGztFDwBqdheM',
  5: 'eNprYJ3qxgABPU7R1UqZeQWlJUpWCkrGMXmGCkYKQEpJR0Epv7QEKm6mcHglRKwktbikpLIgFSRaXJKSmadUGztFDwBqxheN',
};
const long =
  'eNrtyLEJwlAUQNEIWcANPq8WwUrIJILYmSJN/JD3CxHBIdzARSU7pDynu/fTX377XXd9xTTXljGUOAMAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAm4tDiUfL2jKGEqc1c1wyn3Vcx5L3aY737Xv8A6AQ1G4=';
const callsSystem = 'eJxrYJmqxAABPawF+cWZFVN62Iori0tSc6dMntLDnpqcka+QkTmldUrQFD0ALSYPag==';
const list = 'eJxrYJnKwQABsVN6GBOnJOoBACKxBCQ=';
const protocol0 = 'eJwLS+QqMODSAwAHawGa';

describe('tests of LiveCodeBench rows', () => {
  it.each(Object.entries(pickled))('are read from a pickle of protocol %s', (_, text) => {
    const tests = parse(text);
    expect(tests).toEqual({
      kind: 'stdin',
      functionName: null,
      cases: [
        { input: '1\n', expected: '1\n' },
        { input: '3\n1 2 3\n', expected: '6 é\n' },
      ],
    });
  });

  it('are read from a long pickle and from plain JSON', () => {
    expect(parse(long).cases[1]!.input).toBe('7'.repeat(70_000));
    expect(parse(JSON.stringify([stdin('2', '2')])).cases).toHaveLength(2);
    expect(parse('[]').cases).toHaveLength(1);
  });

  it('name the function of functional tests', () => {
    const functional = JSON.stringify([{ input: '[1,2]\n3', output: '[0, 1]', testtype: 'functional' }]);
    const row = { public_test_cases: functional, private_test_cases: '[]', metadata: '{"func_name": "twoSum"}' };
    expect(parseLiveCodeBenchTests(row, 'row 1')).toEqual({
      kind: 'functional',
      functionName: 'twoSum',
      cases: [{ input: '[1,2]\n3', expected: '[0, 1]' }],
    });
    expect(() => parseLiveCodeBenchTests({ ...row, metadata: '{}' }, 'row 1')).toThrow('row 1: functional tests name no function');
    const bare = JSON.stringify([{ input: 'x', output: '1', testtype: 'functional' }]);
    expect(() => parseLiveCodeBenchTests({ ...row, private_test_cases: bare }, 'row 1')).toThrow(
      'row 1, test 2: an argument is not JSON ("x")',
    );
    expect(() => parseLiveCodeBenchTests({ ...row, private_test_cases: publicTests }, 'row 1')).toThrow('some tests are functional');
  });

  it('are refused when a pickle does anything but hold a text', () => {
    expect(() => parse(callsSystem)).toThrow('test.jsonl, line 1, private_test_cases: the pickle holds more than one text.');
    expect(() => parse(list)).toThrow('the pickle has the operation 0x5d');
    expect(() => parse(protocol0)).toThrow('the pickle has the operation 0x56 at byte 0');
    const pickle = (...bytes: number[]) => deflateSync(Buffer.from(bytes)).toString('base64');
    expect(() => parse(pickle(0x80, 4, 0x8c, 1, 97, 0x93, 0x2e))).toThrow('the pickle has the operation STACK_GLOBAL at byte 5');
    expect(() => parse(pickle(0x80, 4, 0x63, 97))).toThrow('GLOBAL');
    expect(() => parse(pickle(0x80, 4, 0x2e))).toThrow('holds no text');
    expect(() => parse(pickle(0x8c, 1, 97, 0x2e, 0))).toThrow('goes on after its end');
    expect(() => parse(pickle(0x8d, 255, 255, 255, 255, 255, 255, 255, 127, 97))).toThrow('ends early');
    expect(() => parse(pickle(0x8c, 1, 0xff, 0x2e))).toThrow('no UTF-8');
  });

  it('are refused with file, column and remedy when damaged', () => {
    expect(() => parse('!!')).toThrow('test.jsonl, line 1, private_test_cases: the text is neither JSON nor base64.');
    expect(() => parse('AAAA')).toThrow('not compressed by zlib');
    expect(() => parse(deflateSync(Buffer.alloc(401 * 2 ** 20)).toString('base64'))).toThrow('larger than 400 MiB');
    expect(() => parse('[{')).toThrow('the text is not JSON');
    expect(() => parse('[{"input": 1, "output": "2", "testtype": "stdin"}]')).toThrow('private_test_cases, test 1: "input" or "output"');
    expect(() => parse('[{"input": "1", "output": "2"}]')).toThrow('"testtype" is undefined');
    expect(() => parse(undefined)).toThrow('there is no list of tests');
    expect(() => parse('[]', { public_test_cases: '[]' })).toThrow('there are no tests');
  });
});
