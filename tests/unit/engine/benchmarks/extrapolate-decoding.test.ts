import { describe, expect, it } from 'vitest';
import { extrapolateDecoding } from '../../../../src-main/engine/benchmarks/extrapolate-decoding.ts';

describe('extrapolateDecoding', () => {
  it('separates reading the prompts from decoding', () => {
    // 4 slots: prompts take 3 s, then a token of every slot each 100 ms.
    const marks = Array.from({ length: 30 }, (_, step) => ({ elapsedMs: 3000 + 100 * step, tokens: 4 * step }));
    const work = { completions: 4, slots: 4, maxNewTokens: 50 };
    const predicted = extrapolateDecoding(marks, work)!;
    expect(predicted.elapsedMs).toBeCloseTo(3000 + 50 * 100, 6);
    expect(predicted.tokensPerSecond).toBeCloseTo(40, 6);
    expect(extrapolateDecoding(marks, { ...work, completions: 10 })!.elapsedMs).toBeCloseTo(2.5 * 8000, 6);
  });

  it('says nothing before every slot decodes', () => {
    const work = { completions: 8, slots: 4, maxNewTokens: 50 };
    expect(extrapolateDecoding([], work)).toBeNull();
    expect(extrapolateDecoding([{ elapsedMs: 100, tokens: 7 }], work)).toBeNull();
    expect(extrapolateDecoding([{ elapsedMs: 100, tokens: 9 }], work)).toBeNull();
  });
});
