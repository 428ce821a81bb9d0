import { describe, expect, it } from 'vitest';
import { foldRun, foldRunEvents } from '../../../../src-renderer/stores/run-fold.ts';
import { event, run, snapshot } from '../fixtures.ts';

const progress = (seq: number, done: number) =>
  event(seq, { type: 'progress', stage: 1, done, total: 10, unit: 'completions', ratePerSecond: 4, remainingMs: 1500, detail: 'sums' });

describe('folding run events into a snapshot', () => {
  it('follows a run from its start to its end', () => {
    const end = foldRunEvents(snapshot(), [
      event(1, { type: 'started', backend: 'wasm', device: '2 cores', skippedBackends: [], versions: {}, modelHash: 'h', modelBytes: 1 }),
      event(2, { type: 'stage-started', stage: 0, title: 'GPTQ W2G32' }),
      event(3, { type: 'metric', stage: 0, name: 'weight-error', step: 0, value: 0.5 }),
      event(4, { type: 'metric', stage: 0, name: 'weight-error', step: 1, value: 0.25 }),
      event(5, { type: 'log', level: 'warning', message: 'damping raised' }),
      event(6, {
        type: 'stage-finished',
        stage: 0,
        elapsedMs: 900,
        summary: { type: 'evaluate', protocolHash: 'p', samples: 1, tokensPerSecond: 2 },
      }),
      event(7, { type: 'stage-started', stage: 1, title: 'Evaluate 2 benchmarks' }),
      progress(8, 5),
    ]);
    expect(end.lastSeq).toBe(8);
    expect(end.run).toMatchObject({ status: 'running', backend: 'wasm', device: '2 cores', startedAt: 10_001, lastSeq: 8 });
    expect(end.run.progress).toMatchObject({ stage: 1, stageTitle: 'Evaluate 2 benchmarks', done: 5, total: 10, remainingMs: 1500 });
    expect(end.stages.map((stage) => stage.status)).toEqual(['finished', 'running']);
    expect(end.stages[0]).toMatchObject({ elapsedMs: 900, startedAt: 10_002 });
    expect(end.metrics).toEqual([
      {
        stage: 0,
        name: 'weight-error',
        points: [
          { step: 0, value: 0.5 },
          { step: 1, value: 0.25 },
        ],
      },
    ]);
    expect(end.log).toEqual([{ seq: 5, at: 10_005, level: 'warning', message: 'damping raised' }]);
  });

  it('keeps the newest standing of the benchmarks, and drops it with the run’s end', () => {
    const benchmark = (problems: number) => ({
      ...{ benchmark: 'sums', done: 2 * problems, total: 40, problems, of: 20, meanTokens: 12, stopped: false },
      accuracy: { value: 0.5, low: 0.5 - 1 / problems, high: 0.5 + 1 / problems },
    });
    const at = (seq: number, problems: number) => {
      const { type: _type, ...rest } = progress(seq, problems) as Extract<ReturnType<typeof event>, { type: 'progress' }>;
      return event(seq, { ...rest, type: 'progress', benchmarks: [benchmark(problems)] });
    };
    const sofar = foldRunEvents(snapshot(), [at(1, 4), at(2, 8)]);
    expect(sofar.run.progress?.benchmarks).toEqual([benchmark(8)]);
    expect(foldRunEvents(sofar, [at(2, 4)])).toBe(sofar);
    const early = { benchmark: 'sums', problems: 8, of: 20, margin: 0.02 };
    const next = foldRunEvents(sofar, [
      event(3, { type: 'benchmark-stopped', stage: 1, stop: early, surplus: ['p9'] }),
      event(4, { type: 'finished' }),
    ]);
    expect(next.run.progress).toBeNull();
  });

  it('skips what the snapshot already contains', () => {
    const start = snapshot({ lastSeq: 4, metrics: [{ stage: 0, name: 'accuracy', points: [{ step: 4, value: 1 }] }] });
    const same = foldRunEvents(start, [event(3, { type: 'metric', stage: 0, name: 'accuracy', step: 3, value: 0 })]);
    expect(same).toBe(start);
    const next = foldRunEvents(start, [
      event(4, { type: 'metric', stage: 0, name: 'accuracy', step: 4, value: 0 }),
      event(5, { type: 'metric', stage: 0, name: 'accuracy', step: 5, value: 0.5 }),
      event(6, { type: 'metric', stage: 1, name: 'accuracy', step: 1, value: 0.1 }),
    ]);
    expect(next.metrics.map((series) => [series.stage, series.points.length])).toEqual([
      [0, 2],
      [1, 1],
    ]);
    expect(start.metrics[0]?.points).toHaveLength(1);
  });

  it('gives the same result whether events come in one batch or one by one', () => {
    const events = [progress(1, 1), event(2, { type: 'log', level: 'info', message: 'a' }), progress(3, 2), event(4, { type: 'finished' })];
    const oneByOne = events.reduce((state, item) => foldRunEvents(state, [item]), snapshot());
    expect(foldRunEvents(snapshot(), events)).toEqual(oneByOne);
  });

  it('marks the running stage when a run fails, and returns it to waiting when it is cancelled', () => {
    const running = foldRunEvents(snapshot(), [event(1, { type: 'stage-started', stage: 0, title: 'x' }), progress(2, 3)]);
    const error = { code: 'numeric' as const, message: 'not finite', hint: 'more bits' };
    const failed = foldRunEvents(running, [event(3, { type: 'failed', error })]);
    expect(failed.run).toMatchObject({ status: 'failed', error, finishedAt: 10_003, progress: null });
    expect(failed.stages[0]?.status).toBe('failed');
    const cancelled = foldRunEvents(running, [event(3, { type: 'cancelled' })]);
    expect(cancelled.run.status).toBe('cancelled');
    expect(cancelled.stages[0]?.status).toBe('pending');
    expect(foldRunEvents(running, [event(3, { type: 'stopped' })]).run.status).toBe('interrupted');
  });

  it('names the stage of a listed run from its recipe, where no stages are loaded', () => {
    const recipe = { name: '', description: '', stages: [{ type: 'export' as const, format: 'roundoff' as const }] };
    const body = { done: 1, total: 2, unit: 'files', ratePerSecond: null, remainingMs: null, detail: '' };
    const listed = foldRun(run({ recipe }), event(1, { type: 'progress', stage: 0, ...body }), []);
    expect(listed.progress?.stageTitle).toMatch(/export/i);
  });

  it('replaces the points of steps that a resumed run makes again', () => {
    const points = [1, 2, 3, 4].map((step) => ({ step, value: step }));
    const start = snapshot({ lastSeq: 4, metrics: [{ stage: 0, name: 'loss', points }] });
    const again = [3, 4, 5].map((step, index) => event(5 + index, { type: 'metric', stage: 0, name: 'loss', step, value: 10 * step }));
    expect(foldRunEvents(start, again).metrics[0]!.points).toEqual([
      { step: 1, value: 1 },
      { step: 2, value: 2 },
      ...[3, 4, 5].map((step) => ({ step, value: 10 * step })),
    ]);
  });
});
