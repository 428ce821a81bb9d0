import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { getVerifier } from '../../../../src-main/engine/verifiers/index.ts';
import { readPairs } from '../../../support/labelled-pairs.ts';

const maths = getVerifier('maths-2');
const limitMs = 1000;
const pairs = readPairs(join(import.meta.dirname, 'maths-pairs.txt'));

/** The slowest verdict's time is of this thread and the algebra threads together, on a machine that computes other things too. */
async function timed(gold: string, completion: string, tolerance?: number) {
  const before = process.cpuUsage();
  const startedAt = performance.now();
  const result = await maths.verify({ gold, completion, finishReason: 'stop', ...(tolerance === undefined ? {} : { tolerance }) });
  const { user, system } = process.cpuUsage(before);
  return { result, elapsedMs: Math.min(performance.now() - startedAt, (user + system) / 1000) };
}

// Starting the algebra thread loads a library of megabytes once; it is no part of a comparison.
beforeAll(async () => void (await timed('\\sqrt{8}', '\\boxed{2\\sqrt{2}}')));
afterAll(() => maths.dispose?.());

describe('maths-2 on labelled pairs', () => {
  it('has at least 400 pairs, a third of them unequal', () => {
    expect(pairs.length).toBeGreaterThanOrEqual(400);
    expect(pairs.filter((pair) => !pair.equal).length).toBeGreaterThan(pairs.length / 3);
    expect(new Set(pairs.map((pair) => pair.line)).size).toBe(pairs.length);
  });

  it('judges at least 99 % of them as they are labelled, each within a second', async () => {
    const wrong: string[] = [];
    const slow: string[] = [];
    for (const { gold, answer, equal, tolerance, line } of pairs) {
      const { result, elapsedMs } = await timed(gold, `so \\boxed{${answer}}`, tolerance);
      if ((result.verdict === 'correct') !== equal) wrong.push(`${line} (judged ${result.verdict})`);
      if (elapsedMs > limitMs) slow.push(`${line} (${Math.round(elapsedMs)} ms)`);
    }
    if (wrong.length > 0) console.log(`judged otherwise than labelled:\n${wrong.join('\n')}`);
    expect(wrong.length / pairs.length).toBeLessThanOrEqual(0.01);
    expect(slow).toEqual([]);
  });

  it('judges every gold answer of the pairs equal to itself', async () => {
    const undefinedGolds = ['1/0'];
    const wrong: string[] = [];
    for (const gold of new Set(pairs.map((pair) => pair.gold))) {
      const { result } = await timed(gold, `so \\boxed{${gold}}`);
      if (result.verdict !== 'correct' && !undefinedGolds.includes(gold)) wrong.push(gold);
    }
    expect(wrong).toEqual([]);
  });
});
