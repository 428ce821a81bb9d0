import { describe, expect, it } from 'vitest';
import { openSandbox } from '../../../../../src-main/engine/sandbox/index.ts';
import { codeVerifier } from '../../../../../src-main/engine/verifiers/code/code-1.ts';
import type { CodeTests } from '../../../../../src-main/engine/verifiers/code/code-tests.ts';
import { getVerifier } from '../../../../../src-main/engine/verifiers/index.ts';
import { RoundoffError } from '../../../../../src-preload/contract/errors.ts';

const limits = { testCpuMs: 2000, testWallMs: 60_000, outputBytes: 2 ** 20, memoryBytes: 256 * 2 ** 20 };
const verifier = codeVerifier(() => openSandbox({ limits }));
const sum: CodeTests = {
  kind: 'stdin',
  functionName: null,
  cases: [
    { input: '2\n1 2\n', expected: '3\n' },
    { input: '3\n1 2 3\n', expected: '6\n' },
  ],
};
const pairs: CodeTests = {
  kind: 'functional',
  functionName: 'pairs',
  cases: [
    { input: '[1, 2]\n3', expected: '[[0, 1]]' },
    { input: '[1, 1, 1]\n2', expected: '[[0, 1], [0, 2], [1, 2]]' },
  ],
};
const fenced = (code: string) => `I add them.\n\`\`\`python\n${code}\n\`\`\`\n`;
const judge = (completion: string, tests: CodeTests = sum, finishReason: 'stop' | 'length' = 'stop') =>
  verifier.verify({ gold: '', completion, finishReason, readTests: () => tests });
const method = (body: string) => fenced(`class Solution:\n    def pairs(self, values: List[int], total: int):\n        ${body}`);
const right = '[(i, j) for i in range(len(values)) for j in range(i + 1, len(values)) if values[i] + values[j] == total]';

describe('code-1', () => {
  it('is right where every test passes', async () => {
    expect(await judge(fenced('n = int(input())\nprint(sum(map(int, input().split())))'))).toEqual({
      verdict: 'correct',
      extracted: 'n = int(input())\nprint(sum(map(int, input().split())))',
    });
    expect(await judge(method(`return ${right}`), pairs)).toMatchObject({ verdict: 'correct' });
    expect(await judge(fenced(`def pairs(values, total):\n    return ${right}`), pairs)).toMatchObject({ verdict: 'correct' });
  });

  it.each([
    ['a wrong answer', 'n = int(input())\nprint(3)', 'test 2 of 2: "3" instead of "6"'],
    ['an exception', 'n = int(input())\nprint([0, 3][n - 1])\n', 'test 2 of 2: IndexError: list index out of range (line 2)'],
    ['wrong syntax', 'print(', "the program does not load: SyntaxError: '(' was never closed"],
    ['nothing printed', '', 'test 1 of 2: "" instead of "3"'],
    ['a time-out', 'while True: pass', 'test 1 of 2: time limit (2 s of processor time a test'],
    ['too much memory', 'x = bytearray(1 << 29)', 'test 1 of 2: MemoryError'],
    ['a flood', "while True: print('x' * 10000)", 'test 1 of 2: more than 1 MiB of output'],
    ['an abort', 'import os\nos.abort()', 'test 1 of 2: RuntimeError'],
  ])('says that %s failed which test', async (_, code, detail) => {
    const result = await judge(fenced(code));
    expect(result).toMatchObject({ verdict: 'incorrect', extracted: code });
    expect(result.detail).toContain(detail);
  });

  it.each([
    ['a wrong result', method('return []'), 'test 1 of 2: "[]" instead of "[[0, 1]]"'],
    ['a set', method(`return set(${right})`), 'test 1 of 2: TypeError: Object of type set is not JSON serializable'],
    [
      'another name',
      fenced('class Solution:\n    def other(self): pass'),
      "the program does not load: AttributeError: 'Solution' object has no attribute 'pairs'",
    ],
    ['no function', fenced('x = 1'), 'the program does not load: NameError'],
    ['an end', method('import sys; sys.exit()'), 'test 1 of 2: SystemExit'],
  ])('says that %s failed which call', async (_, completion, detail) => {
    const result = await judge(completion, pairs);
    expect(result).toMatchObject({ verdict: 'incorrect' });
    expect(result.detail).toContain(detail);
  });

  it('gives what competition programs expect', async () => {
    const programs = [
      'import sys\ninput = sys.stdin.readline\nn = int(input())\nprint(sum(map(int, input().split())))',
      'import sys\ndata = sys.stdin.buffer.read().split()\nsys.stdout.write(str(sum(map(int, data[1:]))))\nsys.exit(0)',
      'print(sum(map(int, open(0).read().split()[1:])))',
      'import os\ndata = os.read(0, 1000).split()\nos.write(1, str(sum(map(int, data[1:]))).encode())',
      'import threading, sys\nsys.setrecursionlimit(10**6)\nthreading.stack_size(1 << 27)\ndef main():\n    input()\n    print(sum(map(int, input().split())))\nt = threading.Thread(target=main)\nt.start()\nt.join()',
      'import atexit, io, sys\nout = io.StringIO()\natexit.register(lambda: sys.__stdout__ and print(out.getvalue()))\ninput()\nout.write(str(sum(map(int, input().split()))))',
      'input()\n@lru_cache(None)\ndef f(n): return 0 if n == 0 else f(n - 1) + 1\nassert f(4000) == 4000\nprint(sum(map(int, input().split())))',
      'if __name__ == "__main__":\n    n, *values = map(int, sys.stdin.read().split())\n    print(reduce(add, values))\n    import os\n    os._exit(0)',
    ];
    for (const program of programs) expect(await judge(fenced(program))).toMatchObject({ verdict: 'correct' });
  });

  it('tells cut-off and missing programs apart', async () => {
    expect(await judge('I do not know.')).toEqual({ verdict: 'unparsed', extracted: null });
    expect(await judge('```python\nprint(', sum, 'length')).toEqual({ verdict: 'truncated', extracted: null });
    expect(await judge('<think>\n```\nprint(3)\n```\nbut', sum, 'length')).toEqual({ verdict: 'truncated', extracted: null });
    expect(await judge(`${fenced('print(3)')}and this`, sum, 'length')).toMatchObject({ verdict: 'incorrect' });
  });

  it('judges several programs side by side', async () => {
    const completions = Array.from({ length: 6 }, (_, index) =>
      fenced(index % 2 ? 'print(0)' : 'input()\nprint(sum(map(int, input().split())))'),
    );
    const results = await Promise.all(completions.map((completion) => judge(completion)));
    expect(results.map(({ verdict }) => verdict)).toEqual(['correct', 'incorrect', 'correct', 'incorrect', 'correct', 'incorrect']);
  });

  it('scores nothing without a sandbox', async () => {
    const closed = new RoundoffError('sandbox-unavailable', 'The sandbox for code cannot be trusted here.', 'Use another Node.');
    const without = codeVerifier(() => Promise.reject(closed));
    const input = { gold: '', completion: fenced('print(1)'), finishReason: 'stop' as const, readTests: () => sum };
    await expect(without.verify(input)).rejects.toBe(closed);
    await expect(without.verify({ ...input, completion: 'none' })).resolves.toMatchObject({ verdict: 'unparsed' });
  });

  it('is known by its name, and needs tests', async () => {
    expect(getVerifier('code-1').name).toBe('code-1');
    const input = { gold: '', completion: fenced('print(1)'), finishReason: 'stop' as const };
    await expect(verifier.verify(input)).rejects.toMatchObject({ code: 'bad-input' });
    await expect(verifier.verify({ ...input, completion: 'none' })).rejects.toMatchObject({ code: 'bad-input' });
  });
});
