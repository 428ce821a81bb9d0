import { describe, expect, it } from 'vitest';
import { BenchmarkTally } from '../../../../src-main/engine/benchmarks/benchmark-tally.ts';
import {
  EvaluationMeter,
  type EvaluationProgress,
  type MeteredCompletion,
} from '../../../../src-main/engine/benchmarks/evaluation-meter.ts';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';

interface Planned extends MeteredCompletion {
  key: string;
  tokens: number;
}

/** Plays an evaluation whose sequences take one token each in every millisecond; returns what was reported and when. */
function play(completions: Planned[], slots: number, recorded: Planned[] = []) {
  let now = 0;
  const readings: { at: number; progress: EvaluationProgress }[] = [];
  const names = [...new Set([...recorded, ...completions].map(({ benchmark }) => benchmark))];
  const tallies = names.map((name) => {
    const own = [...recorded, ...completions].filter(({ benchmark }) => benchmark === name);
    return new BenchmarkTally({ name, problemIds: own.map(({ key }) => key), seeds: 1 });
  });
  const tallyOf = (name: string) => tallies.find((tally) => tally.name === name)!;
  for (const { key, benchmark, tokens } of recorded) tallyOf(benchmark).record(key, true, tokens);
  const meter = new EvaluationMeter({
    tallies,
    pending: new Map(completions.map((each) => [each.key, each])),
    recorded,
    slots,
    maxNewTokens: 4000,
    report: (progress) => readings.push({ at: now, progress }),
    now: () => now,
  });
  meter.report();
  const waiting = [...completions];
  let running: { planned: Planned; left: number }[] = [];
  let generated = 0;
  while (waiting.length > 0 || running.length > 0) {
    while (running.length < slots && waiting.length > 0) {
      const planned = waiting.shift()!;
      running.push({ planned, left: planned.tokens });
    }
    now++;
    generated += running.length;
    for (const each of running) each.left--;
    if (now % 100 === 0) meter.generated(generated);
    for (const { planned } of running.filter(({ left }) => left === 0)) {
      tallyOf(planned.benchmark).record(planned.key, true, planned.tokens);
      meter.ended(planned.key, planned.tokens);
      meter.report();
    }
    running = running.filter(({ left }) => left > 0);
  }
  meter.generated(generated);
  return { readings, endedAt: now, tokensPerSecond: meter.tokensPerSecond() };
}

/** Two benchmarks in turn: short completions and long ones, spread as real lengths are. */
function mixed(count: number, unitOf: (tokens: number) => number = () => 1): Planned[] {
  const random = new RandomStream(2, 'meter');
  return Array.from({ length: count }, (_, index) => {
    const benchmark = index % 2 === 0 ? 'short' : 'long';
    const tokens = Math.min(4000, Math.round((benchmark === 'short' ? 60 : 900) * Math.exp(0.6 * random.normal())));
    return { key: String(index), benchmark, tokens, unit: unitOf(tokens) };
  });
}

/** Largest relative error of the time left between two shares of the time. */
function largestError({ readings, endedAt }: ReturnType<typeof play>, from: number, to: number): number {
  const errors = readings
    .filter(({ at, progress }) => at > from * endedAt && at < to * endedAt && progress.remainingMs !== null)
    .map(({ at, progress }) => Math.abs(progress.remainingMs! / (endedAt - at) - 1));
  expect(errors.length).toBeGreaterThan(20);
  return Math.max(...errors);
}

describe('EvaluationMeter', () => {
  it('starts from what is recorded and ends with everything', () => {
    const all = mixed(100);
    const { readings, tokensPerSecond } = play(all.slice(30), 8, all.slice(0, 30));
    expect(readings[0]!.progress).toMatchObject({ done: 30, total: 100, generatedTokens: 0, tokensPerSecond: null, remainingMs: null });
    expect(readings[0]!.progress.benchmarks).toMatchObject([
      { benchmark: 'short', done: 15, problems: 15, of: 50 },
      { benchmark: 'long', done: 15, problems: 15, of: 50 },
    ]);
    const last = readings.at(-1)!.progress;
    expect(last).toMatchObject({ done: 100, total: 100, generatedTokens: all.slice(30).reduce((sum, { tokens }) => sum + tokens, 0) });
    expect(last.remainingMs).toBe(0);
    expect(tokensPerSecond).toBeGreaterThan(6000);
  });

  it('tells the time left from lengths, though the short benchmark runs ahead', () => {
    const played = play(mixed(600), 16);
    expect(largestError(played, 0.1, 0.5)).toBeLessThan(0.3);
    expect(largestError(played, 0.5, 0.7)).toBeLessThan(0.35);
  });

  it('tells it from the beginning where earlier lengths of the problems are known', () => {
    const played = play(
      mixed(600, (tokens) => 0.8 * tokens),
      16,
    );
    expect(largestError(played, 0.1, 0.85)).toBeLessThan(0.15);
  });

  it('leaves out of the rate what passed before the first token', () => {
    const [completion] = mixed(1);
    let now = 0;
    let reading: EvaluationProgress | null = null;
    const meter = new EvaluationMeter({
      tallies: [new BenchmarkTally({ name: 'short', problemIds: ['0'], seeds: 1 })],
      pending: new Map([['0', completion!]]),
      recorded: [{ ...completion!, tokens: 100 }],
      ...{ slots: 4, maxNewTokens: 4000, now: () => now },
      report: (progress) => {
        reading = progress;
      },
    });
    meter.report();
    now = 60_000;
    meter.generated(10);
    expect(reading).toMatchObject({ tokensPerSecond: null, remainingMs: null });
    now = 61_000;
    meter.generated(60);
    expect(reading!).toMatchObject({ tokensPerSecond: 50, remainingMs: expect.closeTo(40 * 20, 6) });
  });

  it('counts completions that are not made any more as gone', () => {
    const completions = mixed(40);
    let now = 0;
    let remainingMs: number | null = null;
    const meter = new EvaluationMeter({
      tallies: ['short', 'long'].map((name) => new BenchmarkTally({ name, problemIds: [], seeds: 1 })),
      pending: new Map(completions.map((each) => [each.key, each])),
      recorded: completions.map((each) => ({ ...each, tokens: 100 })),
      ...{ slots: 4, maxNewTokens: 4000, now: () => now },
      report: (progress) => {
        remainingMs = progress.remainingMs;
      },
    });
    meter.generated(4);
    now = 1000;
    meter.generated(1000);
    expect(remainingMs).toBeGreaterThan(0);
    const before = remainingMs!;
    meter.dropped(completions.slice(20).map(({ key }) => key));
    now = 2000;
    meter.generated(1001);
    meter.dropped(completions.map(({ key }) => key));
    meter.generated(1002);
    expect(before).toBeGreaterThan(2000);
    expect(remainingMs).toBe(0);
  });
});
