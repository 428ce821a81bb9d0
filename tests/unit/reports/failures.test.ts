/** The failure breakdown, counted by hand from a few samples, and the tests of a study's drops. */
import { describe, expect, it } from 'vitest';
import { failureBreakdown, lengthQuantiles } from '../../../src-main/reports/failures.ts';
import { buildComparison, type CompactSample } from '../../../src-main/reports/index.ts';
import type { FinishReason, Verdict } from '../../../src-preload/contract/worker.ts';
import { fakeStudy } from './fake-study.ts';

const answer = (verdict: Verdict, tokens: number, extracted: string | null, finishReason: FinishReason = 'stop', thinkingEnded = true) => ({
  verdict,
  tokens,
  finishReason,
  thinkingEnded,
  extracted,
});

describe('failureBreakdown', () => {
  const baseline = new Map([
    [
      'a',
      new Map([
        [1, answer('correct', 10, '4')],
        [2, answer('correct', 12, '4')],
      ]),
    ],
    [
      'b',
      new Map([
        [1, answer('incorrect', 20, '7')],
        [2, answer('truncated', 50, null, 'length', false)],
      ]),
    ],
    ['c', new Map([[1, answer('correct', 30, '9')]])],
  ]);
  const own = [
    [
      'a',
      new Map([
        [1, answer('correct', 14, '4')],
        [2, answer('truncated', 50, null, 'length', false)],
      ]),
    ],
    [
      'b',
      new Map([
        [1, answer('incorrect', 22, '8')],
        [2, answer('correct', 40, '5', 'length')],
      ]),
    ],
    ['d', new Map([[1, answer('unparsed', 3, null)]])],
  ] as const;

  it('counts what each completion is, and what changed on common problems and seeds', () => {
    const { change, ...rest } = failureBreakdown(own, baseline);
    expect(rest).toEqual({ samples: 5, thinkingEnded: 4, cutOff: 2, length: { p5: 3, p25: 14, p50: 22, p75: 40, p95: 50, max: 50 } });
    expect(change).toMatchObject({
      pairs: 4,
      sameVerdict: 2,
      bothAnswered: 2,
      sameAnswer: 1,
      lostTo: { incorrect: 0, unparsed: 0, truncated: 1 },
      gainedFrom: { incorrect: 0, unparsed: 0, truncated: 1 },
      meanTokens: 31.5,
      baselineTokens: 23,
    });
    // Problem a gained 21 tokens a completion, b lost 4: mean 8.5, Student's t for one degree of freedom.
    expect(change!.tokens!.value).toBeCloseTo(8.5, 12);
    expect(change!.tokens!.high).toBeCloseTo(8.5 + 12.7062 * 12.5, 2);
  });

  it('has no change without a common problem, and no interval from one', () => {
    expect(failureBreakdown(own.slice(2), baseline).change).toBeNull();
    expect(failureBreakdown(own, undefined).change).toBeNull();
    expect(failureBreakdown(own.slice(0, 1), baseline).change).toMatchObject({ pairs: 2, tokens: null });
  });

  it('takes quantiles by nearest rank', () => {
    expect(lengthQuantiles(Array.from({ length: 100 }, (_, index) => 100 - index))).toEqual({
      p5: 5,
      p25: 25,
      p50: 50,
      p75: 75,
      p95: 95,
      max: 100,
    });
    expect(lengthQuantiles([7])).toEqual({ p5: 7, p25: 7, p50: 7, p75: 7, p95: 7, max: 7 });
  });
});

describe('pass@k', () => {
  it('counts problems that any seed solves, and is left out with a single seed', () => {
    const study = fakeStudy({ problems: 30 });
    const samples = [...study.samples];
    const result = buildComparison(study).rows[6]!.benchmarks[4]!;
    const own = samples.filter(([runId, benchmark]) => runId === 'run-6' && benchmark === 'abacus-chains');
    const solved = new Set(own.filter((sample) => sample[4] === 'correct').map((sample) => sample[3]));
    expect(result.passAtK).toMatchObject({ k: 3, value: solved.size / 30 });
    expect(result.passAtK!.value).toBeGreaterThan(result.accuracy.value);
    const single = buildComparison({ ...study, samples: samples.filter((sample) => sample[2] === 42) });
    expect(single.rows[6]!.benchmarks[4]!.passAtK).toBeNull();
  });
});

describe('tests of average drops', () => {
  const comparison = buildComparison(fakeStudy());
  it('are corrected for the number of runs compared', () => {
    const tests = comparison.rows.flatMap(({ dropTest }) => (dropTest ? [dropTest] : []));
    expect(tests).toHaveLength(8);
    for (const { pValue, holm, comparisons } of tests) {
      expect(comparisons).toBe(8);
      expect(holm).toBeGreaterThanOrEqual(pValue);
      expect(holm).toBeLessThanOrEqual(Math.min(1, 8 * pValue) + 1e-12);
    }
    expect(Math.min(...tests.map(({ holm }) => holm))).toBeLessThan(1e-6);
    expect(comparison.rows[0]!.dropTest).toBeNull();
  });

  it('agree with the intervals of the benchmarks, except near the edge', () => {
    for (const { versusBaseline } of comparison.rows.flatMap((row) => row.benchmarks)) {
      if (!versusBaseline) continue;
      if (versusBaseline.test.midP < 0.02) expect(versusBaseline.verdict).not.toBe('not distinguishable');
      if (versusBaseline.test.midP > 0.15) expect(versusBaseline.verdict).toBe('not distinguishable');
      if (!versusBaseline.bootstrap) continue;
      expect(versusBaseline.bootstrap.low).toBeLessThanOrEqual(versusBaseline.value);
      expect(versusBaseline.bootstrap.high).toBeGreaterThanOrEqual(versusBaseline.value);
    }
  });

  it('do not depend on the order of the samples', () => {
    const study = fakeStudy({ problems: 20 });
    const reversed: CompactSample[] = [...study.samples].reverse();
    expect(buildComparison({ ...study, samples: reversed })).toEqual(buildComparison(study));
  });
});
