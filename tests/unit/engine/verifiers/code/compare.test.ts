import { describe, expect, it } from 'vitest';
import { parseCodeTests } from '../../../../../src-main/engine/verifiers/code/code-tests.ts';
import { sameJson } from '../../../../../src-main/engine/verifiers/code/compare-json.ts';
import { compareOutput } from '../../../../../src-main/engine/verifiers/code/compare-output.ts';
import { endsThinking, extractCode } from '../../../../../src-main/engine/verifiers/code/extract-code.ts';

describe('printed output', () => {
  it.each([
    ['1 2\n3\n', '1 2\n3'],
    ['1 2\n3', ' 1 2  \n  3\n\n\n'],
    ['1.0', '1'],
    ['1.50 2', '1.5   2.000'],
    ['1e3', '1000.0'],
    ['-0', '0'],
    ['0.1', '.1'],
    ['123456789012345678901234567890', '123456789012345678901234567890.0'],
    ['YES\nNO', 'YES\r\nNO'],
    ['', '\n'],
    ['inf', 'Infinity'],
  ])('%j equals %j', (expected, printed) => {
    expect(compareOutput(expected, printed)).toBeNull();
  });

  it.each([
    ['1', '2', '"2" instead of "1"'],
    ['1\n2', '1\n3', 'line 2 is "3" instead of "2"'],
    ['1\n2', '1 2', '1 line instead of 2 lines: "1 2"'],
    ['1', '', '"" instead of "1"'],
    ['0.3', '0.30000000000000004', ''],
    ['1', '1.0000001', ''],
    ['123456789012345678901234567890', '123456789012345678901234567891', ''],
    ['YES', 'Yes', ''],
    ['1 2', '1 2 3', ''],
    ['nan', 'NaN', ''],
    ['a b', 'a  b', ''],
    ['[1, 2]', '[1,2]', ''],
  ])('%j differs from %j', (expected, printed, why) => {
    expect(compareOutput(expected, printed)).toContain(why);
  });
});

describe('results as JSON', () => {
  it.each([
    ['[1, 2]', '[1,2]'],
    ['1', '1.0'],
    ['1', 'true'],
    ['0', 'false'],
    ['[[1, "a"], null]', '[[1,"a"],null]'],
    ['{"a": 1, "b": 2}', '{"b": 2.0, "a": 1}'],
    ['9007199254740993', '9007199254740993'],
    ['"é"', '"\\u00e9"'],
  ])('%s equals %s', (expected, got) => {
    expect(sameJson(expected, got)).toBe(true);
  });

  it.each([
    ['[1, 2]', '[2, 1]'],
    ['1', '"1"'],
    ['9007199254740993', '9007199254740992'],
    ['9007199254740993', '9007199254740992.0'],
    ['0.3', '0.30000000000000004'],
    ['null', '0'],
    ['[]', '{}'],
    ['{}', '{"toString": 1}'],
    ['{"a": 1}', '{"b": 1}'],
    ['1', 'Infinity'],
    ['1', 'NaN'],
    ['[]', `${'['.repeat(200_000)}${']'.repeat(200_000)}`],
  ])('%s differs from %s', (expected, got) => {
    expect(sameJson(expected, got)).toBe(false);
  });
});

describe('the program of a completion', () => {
  it('stands between the last two fence lines', () => {
    expect(extractCode('a\n```python\nx = 1\n```\nb\n```python\nprint(2)\nprint(3)\n```\nend')).toBe('print(2)\nprint(3)');
    expect(extractCode('```\nx\n```')).toBe('x');
    expect(extractCode('```python\n```')).toBe('');
    expect(extractCode('text ```python x``` and\n more')).toBeNull();
    expect(extractCode('one fence\n```python\nx = 1')).toBeNull();
    expect(extractCode('no fence')).toBeNull();
    expect(extractCode('')).toBeNull();
    expect(extractCode('```\r\nx = 1\r\ny\r\n```\r\n')).toBe('x = 1\ny\r');
    // An unclosed last block: LiveCodeBench's rule takes what lies between the last two fences, whatever that is.
    expect(extractCode('```python\na\n```\ntext\n```python\nb')).toBe('text');
  });

  it('was not given while the completion still thinks', () => {
    expect(endsThinking('<think>\n```\nx\n```')).toBe(true);
    expect(endsThinking('<think>a</think>\n```\nx\n```')).toBe(false);
    expect(endsThinking('```\nx\n```')).toBe(false);
  });
});

describe('tests given as data', () => {
  it('are checked, naming place and remedy', () => {
    const cases = [{ input: '1', expected: '2' }];
    expect(parseCodeTests({ kind: 'stdin', cases }, 'a')).toEqual({ kind: 'stdin', functionName: null, cases });
    expect(() => parseCodeTests({ kind: 'x', cases }, 'f, line 1')).toThrow('f, line 1: the tests are of no known kind');
    expect(() => parseCodeTests({ kind: 'stdin' }, 'f')).toThrow('no list of cases');
    expect(() => parseCodeTests({ kind: 'stdin', cases: [] }, 'f')).toThrow('there are no tests');
    expect(() => parseCodeTests({ kind: 'stdin', cases: [{ input: 1 }] }, 'f')).toThrow('f, test 1');
    expect(() => parseCodeTests({ kind: 'functional', cases, functionName: 'a b' }, 'f')).toThrow('name no function');
    expect(() => parseCodeTests({ kind: 'functional', cases: [{ input: 'x', expected: '1' }], functionName: 'f' }, 'f')).toThrow(
      'not JSON',
    );
  });
});
