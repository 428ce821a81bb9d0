import { describe, expect, it } from 'vitest';
import { queueOf, runShare, sortRuns } from '../../../../src-renderer/stores/run-order.ts';
import { run } from '../fixtures.ts';

const runs = [
  run({ id: 'old', status: 'finished', finishedAt: 100 }),
  run({ id: 'second', status: 'queued', createdAt: 20 }),
  run({ id: 'new', status: 'failed', finishedAt: 200 }),
  run({ id: 'first', status: 'queued', createdAt: 10 }),
  run({ id: 'now', status: 'running', createdAt: 5 }),
  run({ id: 'other', status: 'finished', finishedAt: 300, studyId: 2 }),
];

describe('run order', () => {
  it('shows what runs, then the queue in its order, then what ended, newest first', () => {
    expect(sortRuns(runs).map(({ id }) => id)).toEqual(['now', 'first', 'second', 'other', 'new', 'old']);
  });

  it('counts only studies that have something to do', () => {
    expect(queueOf(runs)).toMatchObject({ current: { id: 'now' }, waiting: 2, total: 5, done: 2 });
    expect(queueOf([run({ status: 'finished' })])).toEqual({ current: null, waiting: 0, total: 0, done: 0 });
  });

  it('measures a run across its stages', () => {
    const progress = { stage: 1, stageTitle: '', done: 5, total: 10, unit: '', ratePerSecond: null, remainingMs: null, detail: '' };
    const evaluate = { type: 'export' as const, format: 'roundoff' as const };
    const recipe = { name: '', description: '', stages: [evaluate, evaluate] };
    expect(runShare(run({ progress, recipe }))).toBe(0.75);
    expect(runShare(run({ progress: { ...progress, stage: 0, total: 0 }, recipe }))).toBe(0);
    expect(runShare(run({ progress: null }))).toBeNull();
    expect(runShare(run({ status: 'finished' }))).toBe(1);
  });
});
