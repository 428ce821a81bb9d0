import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { describe, expect, it } from 'vitest';
import { quantizationMethods } from '#contract/recipe.ts';
import { runCli } from '../../../src-main/cli/program.ts';
import { ProgressLine, textTable } from '../../../src-main/cli/terminal.ts';
import { roundoff } from '../../support/captured-terminal.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const folder = temporaryFolder('cli-unit');

describe('usage', () => {
  it('describes every command with examples', async () => {
    const { code, stdout } = await roundoff('--help');
    expect(code).toBe(0);
    for (const command of ['doctor', 'model', 'generate', 'quantize', 'export', 'evaluate', 'verify', 'study', 'report', 'bench']) {
      expect(stdout).toContain(`  ${command} `);
      const nested = { model: ['inspect'], study: ['run'] }[command] ?? [];
      const help = await roundoff(command, ...nested, '--help');
      expect(help.code).toBe(0);
      expect(help.stdout).toContain('Examples:');
      expect(help.stdout).toContain('--json');
    }
  });

  it('groups the options of quantize, shows every method at work and what formats express', async () => {
    const { stdout } = await roundoff('quantize', '--help');
    for (const group of ['Scheme:', 'Calibration text (', 'Rounding (', 'Memory:']) expect(stdout).toContain(`\n${group}`);
    for (const method of quantizationMethods) expect(stdout).toMatch(new RegExp(`\\$ .*quantize .*--method ${method} `));
    expect(stdout).toMatch(/--damp <share> +gptq, quarot: damping, .*\(default: 0\.01\)/s);
    expect(stdout).toContain('Which --format can express what:');
  });

  it('ends with 2 for unknown commands, options and missing values', async () => {
    for (const args of [
      ['explode'],
      ['doctor', '--loud'],
      ['study', 'run', 'first-study'],
      ['verify'],
      ['study', 'show', '--project', 'x', '--study', 'one'],
    ]) {
      const outcome = await roundoff(...args);
      expect(outcome.code, args.join(' ')).toBe(2);
      expect(outcome.stderr.length).toBeGreaterThan(10);
      expect(outcome.stdout).toBe('');
    }
  });

  it('gives errors to machines as JSON', async () => {
    const { code, stdout } = await roundoff('study', 'show', '--project', path.join(folder, 'none.roundoff'), '--json');
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'not-found' } });
  });
});

describe('verify', () => {
  it('answers line by line', async () => {
    const file = path.join(folder, 'answers.jsonl');
    const rows = [
      { gold: '5/6', completion: 'so \\boxed{\\frac{5}{6}}' },
      { gold: '5/6', completion: '\\boxed{0.83}' },
      { gold: '1', completion: 'no answer at all' },
      { gold: '1', completion: 'still thinking', finishReason: 'length' },
    ];
    writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const { code, stdout } = await roundoff('verify', file);
    expect(code).toBe(0);
    const verdicts = stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { verdict: string }).verdict);
    expect(verdicts).toEqual(['correct', 'incorrect', 'unparsed', 'truncated']);
  });

  it('judges every row it can, and names every other one with its line, in the order of the file', async () => {
    const file = path.join(folder, 'bad.jsonl');
    const row = (gold: unknown, more = {}) => JSON.stringify({ gold, completion: 'so \\boxed{4.25}', ...more });
    const rows = [
      row('4.2', { tolerance: 0.1 }),
      row(1),
      '{"gold": ',
      '',
      row('4.25'),
      row('4', { finishReason: 'late' }),
      row('4', { tolerance: '1' }),
      '[]',
    ];
    writeFileSync(file, rows.join('\n'));
    const { code, stdout, stderr } = await roundoff('verify', file, '--json');
    expect(code).toBe(2);
    const out = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(out.map(({ verdict, line }) => verdict ?? line)).toEqual(['correct', 2, 3, 'correct', 6, 7, 8]);
    for (const line of [2, 3, 6, 7, 8]) expect(stderr).toContain(`bad.jsonl, line ${line}: `);
    expect(stderr).toContain('5 rows were not judged.');
  });

  it('judges choices, and refuses golds that are none', async () => {
    const file = path.join(folder, 'choices.jsonl');
    writeFileSync(file, '{"gold":"B","completion":"Answer: B"}\n{"gold":"12","completion":"Answer: B"}\n');
    const { code, stdout } = await roundoff('verify', file, '--verifier', 'choice');
    expect(code).toBe(2);
    expect(stdout.trim().split('\n')[0]).toBe('{"verdict":"correct","extracted":"B"}');
    expect(stdout).toContain('"line":2');
  });

  it('runs programs against the tests of their rows, and names rows whose tests are none', async () => {
    const file = path.join(folder, 'programs.jsonl');
    const doubled = { kind: 'stdin', cases: ['2', '3'].map((input) => ({ input, expected: String(2 * Number(input)) })) };
    const program = (code: string) => `So:\n\`\`\`python\n${code}\n\`\`\``;
    const square = program('n = int(input())\nprint(n * n)');
    const rows = [
      { completion: program('print(2 * int(input()))'), tests: doubled },
      { completion: square, tests: doubled },
      { completion: square },
      { completion: square, tests: [] },
      { completion: square, tests: { ...doubled, cases: [{ input: '2', expected: 4 }] } },
      { completion: 'I cannot.', tests: { ...doubled, cases: [] } },
      { tests: doubled },
      {
        gold: 'not looked at',
        completion: program('def twice(n):\n    return 2 * n'),
        tests: { kind: 'functional', functionName: 'twice', cases: [{ input: '[1]', expected: '[1, 1]' }] },
      },
    ];
    writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const { code, stdout, stderr } = await roundoff('verify', file, '--verifier', 'code');
    expect(code).toBe(2);
    const out = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(out.map(({ verdict, line }) => verdict ?? line)).toEqual(['correct', 'incorrect', 3, 4, 5, 6, 7, 'correct']);
    expect(out[1]).toMatchObject({ extracted: 'n = int(input())\nprint(n * n)', detail: 'test 2 of 2: "9" instead of "6"' });
    expect(stderr).toContain('programs.jsonl, line 3: "tests" are missing.');
    expect(stderr).toContain('programs.jsonl, line 4: "tests": the tests are of no known kind.');
    expect(stderr).toContain('programs.jsonl, line 5: "tests", test 1: the input or the expected output is no text.');
    expect(stderr).toContain('programs.jsonl, line 6: "tests": there are no tests.');
    expect(stderr).toContain('programs.jsonl, line 7: "completion" must be a text.');
    expect(stderr).toContain('5 rows were not judged. Write one object like {"tests": ');
  }, 60_000);

  it('keeps the order of many rows, and waits for a slow reader', async () => {
    const file = path.join(folder, 'many.jsonl');
    const gold = (index: number) => (index % 50 === 0 ? '\\sqrt{8}' : String(index));
    const completion = (index: number) => (index % 50 === 0 ? '\\boxed{2\\sqrt{2}}' : `\\boxed{${index}}`);
    writeFileSync(
      file,
      Array.from({ length: 2000 }, (_, index) => `${JSON.stringify({ gold: gold(index), completion: completion(index) })}\n`).join(''),
    );
    let text = '';
    let waiting = 0;
    let most = 0;
    const slow = new Writable({
      highWaterMark: 256,
      write(chunk, _encoding, done) {
        text += String(chunk);
        most = Math.max(most, slow.writableLength);
        waiting += 1;
        setImmediate(done);
      },
    });
    const code = await runCli(['verify', file], { stdout: slow, stderr: new Writable({ write: (_chunk, _encoding, done) => done() }) });
    // What it has not read yet waits in the stream, as it would in a pipe.
    slow.end();
    await finished(slow);
    const answers = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { verdict: string; extracted: string });
    expect(code).toBe(0);
    expect(waiting).toBeGreaterThan(100);
    expect(most).toBeLessThan(1024);
    expect(answers.map(({ extracted }) => extracted)).toEqual(
      Array.from({ length: 2000 }, (_, index) => (index % 50 === 0 ? '2\\sqrt{2}' : String(index))),
    );
    expect(new Set(answers.map(({ verdict }) => verdict))).toEqual(new Set(['correct']));
  });

  it('refuses unknown verifiers and missing files', async () => {
    const file = path.join(folder, 'bad.jsonl');
    expect((await roundoff('verify', file, '--verifier', 'chemistry')).code).toBe(2);
    expect((await roundoff('verify', file, '--verifier', 'constructor')).code).toBe(2);
    expect((await roundoff('verify', path.join(folder, 'none.jsonl'))).code).toBe(2);
  });
});

describe('the terminal', () => {
  function line(isTTY: boolean) {
    let text = '';
    let now = 0;
    const stream = Object.assign(
      new Writable({
        write(chunk, _encoding, done) {
          text += String(chunk);
          done();
        },
      }),
      { isTTY, columns: 20 },
    );
    const advance = (ms: number) => {
      now += ms;
    };
    return { progress: new ProgressLine(stream, () => now), text: () => text, advance };
  }

  it('updates one line in place and clears it', () => {
    const { progress, text } = line(true);
    progress.update('Evaluating', '1 of 100 completions, slowly');
    progress.note('done');
    expect(text()).toBe('\r\u001b[2KEvaluating: 1 of 10\r\u001b[2Kdone\n');
  });

  it('writes sparse lines elsewhere, and every new phase', () => {
    const { progress, text, advance } = line(false);
    progress.update('a', '1');
    progress.update('a', '2');
    progress.update('b', '3');
    advance(20_000);
    progress.update('b', '4');
    expect(text()).toBe('a: 1\nb: 3\nb: 4\n');
  });

  it('aligns columns', () => {
    expect(
      textTable(
        ['name', 'n'],
        [
          ['x', '10'],
          ['longer', '1'],
        ],
        new Set([1]),
      ),
    ).toBe('name     n\nx       10\nlonger   1');
  });
});
