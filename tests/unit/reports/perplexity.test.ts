import { describe, expect, it } from 'vitest';
import { perplexityResult } from '../../../src-main/reports/perplexity.ts';
import type { TextWindow } from '../../../src-preload/contract/worker.ts';

const windows = (nats: readonly number[], tokens = 10): TextWindow[] =>
  nats.map((value, window) => ({ benchmark: 'text', window, tokens, nats: value }));

describe('perplexityResult', () => {
  it('is exp of the mean over tokens, not over windows', () => {
    const uneven = [...windows([20, 22]), { benchmark: 'text', window: 2, tokens: 5, nats: 5 }];
    const result = perplexityResult('text', uneven, undefined, true)!;
    expect(result.nats).toBeCloseTo(47 / 25, 12);
    expect(result.perplexity).toBeCloseTo(Math.exp(47 / 25), 12);
    expect(result).toMatchObject({ tokens: 25, windows: 3, change: null });
    expect(perplexityResult('text', [], undefined, true)).toBeNull();
  });

  it('compares the same windows, with Student’s interval over them', () => {
    const own = windows([21, 22, 24, 23]);
    const { change } = perplexityResult('text', own, windows([20, 21, 22, 22]), true)!;
    // Differences per token .1, .1, .2, .1: mean .125, standard error .025, t(3) = 3.18245.
    expect(change!.ratio).toBeCloseTo(Math.exp(0.125), 10);
    expect(Math.log(change!.high!)).toBeCloseTo(0.125 + 3.182446 * 0.025, 5);
    expect(Math.log(change!.low!)).toBeCloseTo(0.125 - 3.182446 * 0.025, 5);
    expect(change!.verdict).toBe('worse');
    expect(perplexityResult('text', windows([20, 22]), windows([21, 21]), true)!.change!.verdict).toBe('not distinguishable');
  });

  it('compares nothing while windows are missing or differ', () => {
    expect(perplexityResult('text', windows([20, 21]), windows([20, 21, 22]), true)!.change).toBeNull();
    expect(perplexityResult('text', windows([20, 21]), windows([20, 21]), false)!.change).toBeNull();
    expect(perplexityResult('text', windows([20, 21]), windows([20, 21], 9), true)!.change).toBeNull();
    expect(perplexityResult('text', windows([20]), windows([19]), true)!.change).toEqual({
      ratio: Math.exp(0.1),
      low: null,
      high: null,
      verdict: null,
    });
  });
});
