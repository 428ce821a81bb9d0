import { describe, expect, it } from 'vitest';
import type { RunEvent, RunEventBody, WorkerToMain } from '#contract/worker.ts';
import { EventEmitter } from '../../../src-main/worker/event-emitter.ts';
import { ProgressMeter } from '../../../src-main/worker/progress-meter.ts';

const progress = (done: number, stage = 0): RunEventBody => ({
  type: 'progress',
  stage,
  done,
  total: 100,
  unit: 'steps',
  ratePerSecond: null,
  remainingMs: null,
  detail: '',
});
const metric = (step: number): RunEventBody => ({ type: 'metric', stage: 0, name: 'loss', step, value: step });

function emitter(lastSeq = 0) {
  const batches: RunEvent[][] = [];
  const post = (message: WorkerToMain) => message.type === 'events' && batches.push(message.events);
  return { batches, events: new EventEmitter(post, 'r1', lastSeq) };
}

describe('EventEmitter', () => {
  it('merges progress to the latest, drops nothing else, and numbers without gaps', () => {
    const { batches, events } = emitter(7);
    events.emit({ type: 'log', level: 'info', message: 'first' });
    for (let step = 1; step <= 50; step++) {
      events.emit(progress(step));
      events.emit(metric(step));
    }
    events.flush();
    const all = batches.flat();
    expect(all.map((event) => event.seq)).toEqual(all.map((_, index) => 8 + index));
    expect(all.flatMap((event) => (event.type === 'metric' ? [event.step] : []))).toEqual(
      Array.from({ length: 50 }, (_, index) => index + 1),
    );
    expect(batches.at(-1)!.flatMap((event) => (event.type === 'progress' ? [event.done] : []))).toEqual([50]);
    expect(batches.length).toBeLessThan(10);
  });

  it('keeps the progress of different stages apart', () => {
    const { batches, events } = emitter();
    events.emit(metric(0));
    events.emit(progress(9, 0));
    events.emit(progress(1, 1));
    events.flush();
    expect(batches.at(-1)!.map((event) => event.type === 'progress' && [event.stage, event.done])).toEqual([
      [0, 9],
      [1, 1],
    ]);
  });

  it('sends what is left by itself', async () => {
    const { batches, events } = emitter();
    events.emit(metric(1));
    events.emit(metric(2));
    while (batches.flat().length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(batches.flat().map((event) => event.seq)).toEqual([1, 2]);
  });
});

describe('ProgressMeter', () => {
  it('takes the rate from what this execution did', () => {
    let now = 0;
    const meter = new ProgressMeter(100, 40, () => now);
    expect(meter.read(40)).toEqual({ done: 40, total: 100, ratePerSecond: null, remainingMs: null });
    now = 2000;
    expect(meter.read(60)).toEqual({ done: 60, total: 100, ratePerSecond: 10, remainingMs: 4000 });
  });
});
