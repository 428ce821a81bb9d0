import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { inspectBenchmark } from '../../../../src-main/engine/benchmarks/inspect.ts';
import { loadBenchmark } from '../../../../src-main/engine/benchmarks/load.ts';

const folder = mkdtempSync(join(tmpdir(), 'roundoff-benchmarks-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const lines = (...rows: unknown[]) => `${rows.map((row) => JSON.stringify(row)).join('\n')}\n`;
const load = (path: string, limit: number | null = null) => loadBenchmark({ name: 'demo', path, limit });

describe('loadBenchmark', () => {
  it('reads every publisher convention', async () => {
    const path = file(
      'conventions.jsonl',
      lines(
        { id: 'own-1', problem: '1+1=?', answer: '2' },
        { question: 'GSM8K?', answer: 'Half is <<6/2=3>>3.\n#### 1,234' },
        { unique_id: 'test/a/1.json', problem: 'MATH?', solution: 'so \\boxed{9}', answer: '\\frac12' },
        { id: 60, problem: 'AIME?', answer: 204 },
        { id: 0, question: 'AMC?', problem: 'AMC?', answer: 27.0 },
        { idx: 5, problem: 'Minerva?', solution: 'first \\boxed{1}, so \\boxed{1.6} cm' },
        { id: 7, context: 'Given.', question: 'Olympiad?', final_answer: ['$69$', '$84$'], unit: null, error: null },
      ),
    );
    const benchmark = await load(path);
    expect(benchmark.problems).toEqual([
      { id: 'own-1', question: '1+1=?', gold: '2' },
      { id: '2', question: 'GSM8K?', gold: '1,234' },
      { id: 'test/a/1.json', question: 'MATH?', gold: '\\frac12' },
      { id: '60', question: 'AIME?', gold: '204' },
      { id: '0', question: 'AMC?', gold: '27' },
      { id: '5', question: 'Minerva?', gold: '1.6' },
      { id: '7', question: 'Given.\n\nOlympiad?', gold: '$69$, $84$' },
    ]);
  });

  it('keeps file order, applies the limit after checking the whole file, and hashes the bytes', async () => {
    const text = lines({ problem: 'a', answer: '1' }, { problem: 'b', answer: '2' }, { problem: 'c', answer: '3' });
    const path = file('limit.jsonl', text);
    const benchmark = await load(path, 2);
    expect(benchmark.problems.map((problem) => problem.question)).toEqual(['a', 'b']);
    expect(benchmark.rows).toBe(3);
    expect(benchmark.sha256).toBe(createHash('sha256').update(text).digest('hex'));
    expect(benchmark.sizeBytes).toBe(text.length);
    await expect(load(file('late.jsonl', `${text}{"problem":"d"}\n`), 2)).rejects.toThrow(/late\.jsonl, line 4: no gold answer/);
  });

  it('reads one JSON list', async () => {
    const path = file('list.json', JSON.stringify([{ id: 'x', problem: 'a', answer: '1' }]));
    expect((await load(path)).problems).toEqual([{ id: 'x', question: 'a', gold: '1' }]);
    await expect(load(file('object.json', '{}'))).rejects.toThrow(/object\.json holds no list/);
    await expect(load(file('items.json', '[1]'))).rejects.toThrow(/items\.json, item 1: not an object/);
    await expect(load(file('broken.json', '[{'))).rejects.toThrow(/broken\.json is not valid JSON/);
  });

  const bad: [string, string, RegExp, RegExp][] = [
    ['no-question', lines({ answer: '2' }), /line 1: no question \(it has answer\)/, /"problem" or "question"/],
    ['blank-question', lines({ problem: '  ', answer: '2' }), /line 1: no question/, /"problem" or "question"/],
    ['no-gold', lines({ problem: 'a', solution: 'no box' }), /line 1: no gold answer/, /"answer"/],
    ['blank-gold', lines({ problem: 'a', answer: 'work ####  ' }), /line 1: no gold answer/, /"answer"/],
    ['inexact', '{"problem":"a","answer":123456789012345678901}\n', /too large to be read exactly/, /in quotes/],
    ['bad-id', lines({ id: { a: 1 }, problem: 'a', answer: '1' }), /line 1: "id" is neither/, /leave it out/],
    [
      'duplicates',
      lines({ id: 1, problem: 'a', answer: '1' }, { id: '1', problem: 'b', answer: '2' }),
      /line 2: the id "1" is already used in duplicates\.jsonl, line 1/,
      /id of its own/,
    ],
    ['empty', '', /empty\.jsonl: the file has no rows/, /at least one row/],
    ['not-json', '{"problem":"a","answer":"1"}\n{"problem": oops}\n', /not-json\.jsonl, line 2/, /complete JSON object/],
  ];
  it.each(bad)('refuses %s, naming file, line and remedy', async (name, content, message, hint) => {
    const failure = await load(file(`${name}.jsonl`, content)).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'dataset-invalid' });
    expect((failure as Error).message).toMatch(message);
    expect((failure as { hint: string }).hint).toMatch(hint);
  });

  it('lists every bad row, up to a limit', async () => {
    const rows = Array.from({ length: 40 }, (_, index) => ({ problem: `p${index}` }));
    const failure = (await load(file('many.jsonl', lines(...rows))).catch((error: unknown) => error)) as { problems: string[] };
    expect(failure.problems).toHaveLength(21);
    expect(failure.problems[1]).toMatch(/line 2: no gold answer/);
    expect(failure.problems[20]).toMatch(/more rows/);
  });

  it('names a missing file', async () => {
    await expect(load(join(folder, 'missing.jsonl'))).rejects.toMatchObject({ code: 'not-found' });
    await expect(load(join(folder, 'missing.json'))).rejects.toMatchObject({ code: 'not-found' });
  });
});

describe('inspectBenchmark', () => {
  it('counts, hashes and previews', async () => {
    const path = file('inspect.jsonl', lines(...Array.from({ length: 8 }, (_, index) => ({ problem: `p${index}`, answer: index }))));
    const inspection = await inspectBenchmark(path);
    expect(inspection).toMatchObject({ name: 'inspect', kind: 'benchmark', rows: 8, problems: [] });
    expect(inspection.preview).toHaveLength(5);
    expect(inspection.preview[3]).toEqual({ prompt: 'p3', answer: '3' });
    expect(inspection.sha256).toBe((await load(path)).sha256);
  });

  it('reports findings instead of throwing', async () => {
    const path = file('findings.jsonl', lines({ problem: 'a' }, { problem: 'b', answer: '1', error: '1e-1' }));
    const { problems, rows } = await inspectBenchmark(path);
    expect(rows).toBe(2);
    expect(problems.map(({ severity, where }) => [severity, where])).toEqual([['error', 'findings.jsonl, line 1']]);
    expect((await inspectBenchmark(join(folder, 'missing.jsonl'))).problems[0]).toMatchObject({ severity: 'error' });
  });
});
