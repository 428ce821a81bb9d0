/** Five hundred programs of known worth through the sandbox; several minutes on two processor cores. */
import { expect, it } from 'vitest';
import { drawCodeProblems } from '../support/code-problems.ts';
import { judgeCodeProblems } from '../support/judge-code.ts';

it('gives 500 programs the verdicts they deserve', async () => {
  const problems = drawCodeProblems(500, { seed: 1, endless: 2 });
  const startedAt = performance.now();
  const misses = await judgeCodeProblems(problems);
  console.log(
    `${problems.length - misses.length} of ${problems.length} verdicts in ${Math.round((performance.now() - startedAt) / 1000)} s`,
  );
  expect(misses).toEqual([]);
});
