/**
 * The importers and the verifier on the publishers' own files. They are no part of the repository: set ROUNDOFF_DATA to a folder
 * that holds `benchmarks/`, or put it at ../shared/data beside the repository.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadBenchmark } from '../../../../src-main/engine/benchmarks/load.ts';
import { verify } from '../../../../src-main/engine/verifiers/index.ts';

const data = process.env.ROUNDOFF_DATA ?? resolve(import.meta.dirname, '../../../../../shared/data');
const folder = join(data, 'benchmarks');
const present = existsSync(folder);
if (!present) console.log(`Published benchmarks are not tested: there is no ${folder}. Set ROUNDOFF_DATA to the data folder to test them.`);

const load = (name: string) => loadBenchmark({ name, path: join(folder, `${name}.jsonl`), limit: null });
const rawRows = (name: string) =>
  readFileSync(join(folder, `${name}.jsonl`), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, string>);

describe.skipIf(!present)('published benchmarks', () => {
  const expected: [string, number, string][] = [
    ['math500', 500, '\\left( 3, \\frac{\\pi}{2} \\right)'],
    ['gsm8k_test', 1319, '18'],
    ['aime24', 30, '204'],
    ['amc23', 40, '27'],
    ['minerva_math', 272, '1.6'],
    ['olympiadbench', 675, '2'],
  ];
  it.each(expected)('%s has %i problems and begins with %s', async (name, rows, firstGold) => {
    const { problems } = await load(name);
    expect(problems).toHaveLength(rows);
    expect(new Set(problems.map((problem) => problem.id)).size).toBe(rows);
    expect(problems[0]?.gold).toBe(firstGold);
  });

  it.each(['math500', 'gsm8k_test', 'minerva_math'])('the published solutions of %s are all judged correct', async (name) => {
    const { problems } = await load(name);
    const rows = rawRows(name);
    const wrong = problems.filter((problem, index) => {
      const completion = rows[index]?.solution ?? rows[index]?.answer ?? '';
      return verify({ gold: problem.gold, completion, finishReason: 'stop' }).verdict !== 'correct';
    });
    expect(wrong).toEqual([]);
  });

  it('judges the answer to another problem correct only where the gold answers are equal', async () => {
    const { problems } = await load('gsm8k_test');
    const rows = rawRows('gsm8k_test');
    let differing = 0;
    for (const [index, problem] of problems.entries()) {
      const next = problems[(index + 1) % problems.length]!;
      const completion = rows[(index + 1) % rows.length]?.answer ?? '';
      const same = Number(problem.gold.replaceAll(',', '')) === Number(next.gold.replaceAll(',', ''));
      if (!same) differing += 1;
      expect(verify({ gold: problem.gold, completion, finishReason: 'stop' }).verdict).toBe(same ? 'correct' : 'incorrect');
    }
    expect(differing).toBeGreaterThan(1200);
  });
});
