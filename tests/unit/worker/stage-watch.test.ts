import { describe, expect, it } from 'vitest';
import { StageWatch } from '../../../src-main/worker/stage-watch.ts';

/** A watch over events at given times, in ms. */
function watched(settings: ConstructorParameters<typeof StageWatch>[0], events: [at: number, unit: string, done: number, total: number][]) {
  let now = 0;
  const watch = new StageWatch(settings, () => now);
  const enough = events.map(([at, unit, done, total]) => {
    now = at;
    return watch.see({ unit, done, total });
  });
  return { enough, predicted: watch.predict() };
}

describe('StageWatch', () => {
  it('judges by whole rounds after the first, whose time also opens and warms up', () => {
    // Layers of two linears: the first takes 5 s with everything before it, each further one 2 s (0.5 + 1.5).
    const { enough, predicted } = watched({ roundOf: { linears: 2 }, leastMs: 1000, leastRounds: 2 }, [
      [3500, 'linears', 1, 20],
      [5000, 'linears', 2, 20],
      [5500, 'linears', 3, 20],
      [7000, 'linears', 4, 20],
    ]);
    expect(enough).toEqual([false, false, false, true]);
    expect(predicted).toEqual({ elapsedMs: 7000 + 8 * 2000, done: 4, total: 20, unit: 'linears' });
  });

  it('counts earlier units as they were', () => {
    const { predicted } = watched({ roundOf: {}, leastMs: 0, leastRounds: 9 }, [
      [1000, 'solutions', 1, 2],
      [4000, 'solutions', 2, 2],
      [6000, 'linears', 1, 10],
    ]);
    expect(predicted?.elapsedMs).toBe(6000 + 9 * 2000);
  });

  it('goes on for the least time, and does not end a stage that is at its end', () => {
    const settings = { roundOf: {}, leastMs: 10_000, leastRounds: 1 };
    const { enough } = watched(settings, [
      [1000, 'steps', 1, 3],
      [9000, 'steps', 2, 3],
      [11_000, 'steps', 3, 3],
    ]);
    expect(enough).toEqual([false, false, false]);
  });

  it('predicts nothing before a round has ended', () => {
    expect(watched({ roundOf: { linears: 7 }, leastMs: 0, leastRounds: 1 }, [[500, 'linears', 3, 14]]).predicted).toBeNull();
  });
});
