import { describe, expect, it } from 'vitest';
import { LengthModel, type LengthObservation } from '../../../../src-main/engine/benchmarks/length-model.ts';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';

const ended = (length: number): LengthObservation => ({ length, ended: true });
const running = (length: number): LengthObservation => ({ length, ended: false });

describe('LengthModel', () => {
  it('knows nothing before a completion has ended', () => {
    expect(LengthModel.of([])).toBeNull();
    expect(LengthModel.of([running(40)])).toBeNull();
  });

  it('is the mean, and the mean beyond an age, where all have ended', () => {
    const model = LengthModel.of([10, 20, 30, 60].map(ended))!;
    expect(model.remaining(0)).toBeCloseTo(30, 10);
    expect(model.remaining(25)).toBeCloseTo((5 + 35) / 2, 10);
    expect(model.remaining(20)).toBeCloseTo((10 + 40) / 2, 10);
  });

  it('weighs completions that run by Kaplan and Meier', () => {
    // Survival 3/4 after 10; the one that runs leaves at 20; 3/8 after 30; nobody after 60. By hand: 10 + 20·3/4 + 30·3/8 = 36.25.
    const model = LengthModel.of([ended(10), running(20), ended(30), ended(60)])!;
    expect(model.remaining(0)).toBeCloseTo(36.25, 10);
  });

  it('goes on with the rate of ending where nothing was seen', () => {
    const model = LengthModel.of([ended(10), running(30)])!;
    // 40 tokens and one end: 40 more from 30 on. 10 + ½·20 + ½·40.
    expect(model.remaining(0)).toBeCloseTo(40, 10);
    expect(model.remaining(30)).toBeCloseTo(40, 10);
    expect(model.remaining(99)).toBeCloseTo(40, 10);
  });

  it('finds the mean of lengths of which only the short ones have ended', () => {
    const random = new RandomStream(1, 'lengths');
    const lengths = Array.from({ length: 3000 }, () => -100 * Math.log(1 - random.uniform()));
    const seen = lengths.map((length) => (length < 80 ? ended(length) : running(80)));
    const naive = seen.filter((item) => item.ended);
    expect(naive.reduce((sum, { length }) => sum + length, 0) / naive.length).toBeLessThan(40);
    expect(LengthModel.of(seen)!.remaining(0)).toBeGreaterThan(95);
    expect(LengthModel.of(seen)!.remaining(0)).toBeLessThan(105);
  });
});
