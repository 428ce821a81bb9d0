import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { RunEvent, RunEventBody } from '#contract/worker.ts';
import { listArtifacts } from '../../../src-main/project/repositories/artifacts.ts';
import { listLog } from '../../../src-main/project/repositories/events.ts';
import { listMetrics } from '../../../src-main/project/repositories/metrics.ts';
import { findRun } from '../../../src-main/project/repositories/runs.ts';
import { recordedSamples } from '../../../src-main/project/repositories/samples.ts';
import { listStages } from '../../../src-main/project/repositories/stages.ts';
import { RunRecorder } from '../../../src-main/runs/recorder.ts';
import { eventsFrom, exampleSample, recordedProject } from '../../support/recorded-project.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const folder = temporaryFolder('recorder');
let count = 0;

function setUp() {
  const { project, runIds } = recordedProject(path.join(folder, `${++count}.roundoff`));
  const runId = runIds[1]!;
  const batches: RunEvent[][] = [];
  const recorder = new RunRecorder(project.db, runId, (events) => batches.push(events));
  return { db: project.db, runId, recorder, batches };
}

const log = (message: string): RunEventBody => ({ type: 'log', level: 'info', message });

describe('RunRecorder', () => {
  it('records every kind of event where it belongs', () => {
    const { db, runId, recorder } = setUp();
    recorder.record(
      eventsFrom(runId, 1, [
        { type: 'started', backend: 'wasm', device: 'cpu', skippedBackends: [], versions: {}, modelHash: 'h', modelBytes: 1 },
        { type: 'stage-started', stage: 0, title: 'RTN W4' },
        { type: 'metric', stage: 0, name: 'weight-error', step: 1, value: 0.5 },
        { type: 'metric', stage: 0, name: 'weight-error', step: 2, value: 0.25 },
        { type: 'artifact', stage: 0, artifact: { kind: 'checkpoint', path: 'stage-0', sha256: 'abc', sizeBytes: 9 } },
        {
          type: 'stage-finished',
          stage: 0,
          summary: { type: 'evaluate', protocolHash: 'p', samples: 0, tokensPerSecond: 1 },
          elapsedMs: 12,
        },
        { type: 'stage-started', stage: 1, title: 'Evaluate 1 benchmark' },
        { type: 'progress', stage: 1, done: 1, total: 2, unit: 'completions', ratePerSecond: 3, remainingMs: 4, detail: 'x' },
        { type: 'sample', stage: 1, sample: exampleSample('p1') },
        log('half way'),
      ]),
    );
    const run = findRun(db, runId)!;
    expect(run).toMatchObject({ backend: 'wasm', device: 'cpu', lastSeq: 10 });
    expect(run.progress).toMatchObject({ stageTitle: 'Evaluate 1 benchmark', done: 1, total: 2 });
    expect(listStages(db, runId).map((stage) => [stage.status, stage.elapsedMs])).toEqual([
      ['finished', 12],
      ['running', null],
    ]);
    expect(listMetrics(db, runId)).toEqual([
      {
        stage: 0,
        name: 'weight-error',
        points: [
          { step: 1, value: 0.5 },
          { step: 2, value: 0.25 },
        ],
      },
    ]);
    expect(listArtifacts(db, runId)).toEqual([{ stage: 0, kind: 'checkpoint', path: `${runId}/stage-0`, sha256: 'abc', sizeBytes: 9 }]);
    expect(recordedSamples(db, runId)).toEqual([['sums\u000042\u0000p1', 'correct', expect.any(Number)]]);
    expect(listLog(db, runId, 10).map((line) => line.message)).toEqual(['half way']);
  });

  it('drops what it already has', () => {
    const { db, runId, recorder, batches } = setUp();
    recorder.record(eventsFrom(runId, 1, [log('one'), log('two')]));
    recorder.record(eventsFrom(runId, 1, [log('one again'), log('two again'), log('three')]));
    recorder.record(eventsFrom(runId, 2, [log('two once more')]));
    expect(listLog(db, runId, 10).map((line) => line.message)).toEqual(['one', 'two', 'three']);
    expect(batches.map((batch) => batch.map((event) => event.seq))).toEqual([[1, 2], [3]]);
  });

  it('records a gap in its place', () => {
    const { db, runId, recorder } = setUp();
    recorder.record(eventsFrom(runId, 1, [log('one')]));
    recorder.record(eventsFrom(runId, 5, [log('five')]));
    expect(listLog(db, runId, 10).map(({ seq, level, message }) => [seq, level, message])).toEqual([
      [1, 'info', 'one'],
      [2, 'warning', 'Events 2 to 4 of this run did not arrive.'],
      [5, 'info', 'five'],
    ]);
    expect(recorder.lastSeq).toBe(5);
  });

  it('records a batch whole or not at all, and broadcasts only what is recorded', () => {
    const { db, runId, recorder, batches } = setUp();
    const broken = exampleSample('p2', { verdict: 'maybe' as never });
    expect(() => recorder.record(eventsFrom(runId, 1, [log('before'), { type: 'sample', stage: 1, sample: broken }]))).toThrow();
    expect(listLog(db, runId, 10)).toEqual([]);
    expect(findRun(db, runId)!.lastSeq).toBe(0);
    expect(batches).toEqual([]);
    recorder.record(eventsFrom(runId, 1, [log('after')]));
    expect(batches).toHaveLength(1);
  });

  it('turns the last event into a status', () => {
    const endings: [RunEventBody, string, string][] = [
      [{ type: 'finished' }, 'finished', 'running'],
      [{ type: 'failed', error: { code: 'numeric', message: 'm', hint: 'h' } }, 'failed', 'failed'],
      [{ type: 'cancelled' }, 'cancelled', 'pending'],
      [{ type: 'stopped' }, 'interrupted', 'pending'],
    ];
    for (const [body, status, stageStatus] of endings) {
      const { db, runId, recorder } = setUp();
      recorder.record(eventsFrom(runId, 1, [{ type: 'stage-started', stage: 0, title: 'RTN W4' }, body]));
      expect(findRun(db, runId)!.status).toBe(status);
      expect(listStages(db, runId)[0]!.status).toBe(stageStatus);
      expect(recorder.ending?.type).toBe(body.type);
    }
  });

  it('continues the numbers of an earlier execution', () => {
    const { db, runId, recorder } = setUp();
    recorder.record(eventsFrom(runId, 1, [log('one'), log('two')]));
    const second = new RunRecorder(db, runId, () => undefined);
    second.append({ type: 'log', level: 'error', message: 'from main' });
    expect(listLog(db, runId, 10).map((line) => line.seq)).toEqual([1, 2, 3]);
  });
});
