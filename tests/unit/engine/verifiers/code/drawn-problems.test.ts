import { describe, expect, it } from 'vitest';
import { parseLiveCodeBenchTests } from '../../../../../src-main/engine/benchmarks/live-code-bench.ts';
import { drawCodeProblems, families } from '../../../../support/code-problems.ts';
import { judgeCodeProblems } from '../../../../support/judge-code.ts';

describe('drawn code problems', () => {
  it('are many kinds of one layout', () => {
    const problems = drawCodeProblems(500, { seed: 1, endless: 2 });
    expect(families.length).toBeGreaterThanOrEqual(25);
    expect(new Set(problems.map(({ row }) => row.question_id)).size).toBe(500);
    expect(problems.filter(({ mistake }) => mistake === null)).toHaveLength(250);
    for (const { name } of families) {
      const own = problems.filter(({ family }) => family === name);
      const labels = own.map(({ kind, mistake }) => `${kind} ${mistake}`);
      for (const label of ['stdin null', 'functional null']) expect(labels, name).toContain(label);
      expect(
        own.map(({ mistake }) => mistake),
        name,
      ).toContain('wrong');
    }
    for (const { row } of problems) expect(parseLiveCodeBenchTests(row, 'row').cases.length).toBeGreaterThanOrEqual(7);
  });

  it('get their verdicts', async () => {
    const problems = drawCodeProblems(500, { seed: 2, endless: 0 });
    const some = problems.filter((_, index) => index % 42 === 5);
    expect(some).toHaveLength(12);
    expect(await judgeCodeProblems(some)).toEqual([]);
  });
});
