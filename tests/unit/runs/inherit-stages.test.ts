import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { type Recipe, recipeSchema, stageTitle } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import type { QuantizeSummary } from '#contract/worker.ts';
import type { Project } from '../../../src-main/project/project.ts';
import { listMetrics, saveMetric } from '../../../src-main/project/repositories/metrics.ts';
import { saveRecipe } from '../../../src-main/project/repositories/recipes.ts';
import { findRun, insertRun } from '../../../src-main/project/repositories/runs.ts';
import { finishStage, insertStage, listStages, startStage } from '../../../src-main/project/repositories/stages.ts';
import { checkpointFolder, inheritStages } from '../../../src-main/runs/inherit-stages.ts';
import { recordedProject } from '../../support/recorded-project.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const folder = temporaryFolder('inherit');
const quantize = (scheme: string) => ({ type: 'quantize', method: 'rtn', scheme: parseScheme(scheme) });
const train = (steps: number) => ({
  type: 'train',
  objective: { kind: 'sft' },
  trains: { kind: 'quantized' },
  data: { path: '/data/train.jsonl' },
  ...{ steps, batchSize: 4 },
  optimizer: { learningRate: 1e-4 },
});
const evaluate = { type: 'export', format: 'dequantized' };
let project: Project;
let artifactsDir: string;
let studyId: number;
let count = 0;

/** A queued run of the study's model; its first `finished` stages are done and have their checkpoints. */
function addRun(stages: object[], { finished = 0, seed = 1, backend = 'wasm' as 'wasm' | 'webgpu' } = {}): string {
  const id = `s${studyId}x${++count}`;
  const recipe: Recipe = recipeSchema.parse({ name: id, stages });
  const recipeId = saveRecipe(project.db, recipe);
  insertRun(project.db, { id, studyId, position: 10 + count, name: id, isBaseline: false, modelId: 1, recipeId, seed, backend });
  for (const [stage, definition] of recipe.stages.entries()) {
    insertStage(project.db, id, { stage, type: definition.type, title: stageTitle(definition) });
    if (stage >= finished) continue;
    startStage(project.db, id, stage, 5);
    finishStage(project.db, id, stage, { type: 'quantize', method: 'rtn', totalBytes: 100 + stage } as QuantizeSummary, 1000 + stage);
    mkdirSync(path.join(artifactsDir, id, `stage-${stage}`), { recursive: true });
  }
  return id;
}

const inherit = (id: string) => inheritStages(project.db, findRun(project.db, id)!, artifactsDir);

beforeEach(() => {
  const recorded = recordedProject(path.join(folder, `p${count}.roundoff`));
  project = recorded.project;
  studyId = recorded.studyId;
  artifactsDir = project.info.artifactsDir;
  return () => project.close();
});

describe('runs that begin alike', () => {
  it('share the longest finished beginning, its summary, its time, its curves and its checkpoint', () => {
    addRun([quantize('W2G32'), evaluate], { finished: 1 });
    const long = addRun([quantize('W2G32'), train(10), train(20)], { finished: 2 });
    for (const stage of [1, 2]) saveMetric(project.db, long, { stage, name: 'loss', step: 1, value: 0.5 });
    const run = addRun([quantize('W2G32'), train(10), train(30)]);
    expect(inherit(run)).toMatchObject({ from: { id: long }, stages: 2 });
    expect(findRun(project.db, run)!.parentRunId).toBe(long);
    expect(listStages(project.db, run).map(({ status, elapsedMs }) => [status, elapsedMs])).toEqual([
      ['finished', 1000],
      ['finished', 1001],
      ['pending', null],
    ]);
    expect(listStages(project.db, run)[1]!.summary).toMatchObject({ totalBytes: 101 });
    expect(listMetrics(project.db, run)).toEqual([{ stage: 1, name: 'loss', points: [{ step: 1, value: 0.5 }] }]);
    expect(checkpointFolder(project.db, run, 1, artifactsDir)).toBe(path.join(artifactsDir, long, 'stage-1'));
  });

  it('pass checkpoints on to the third generation', () => {
    const first = addRun([quantize('W3'), train(1)], { finished: 1 });
    const second = addRun([quantize('W3'), train(2)]);
    inherit(second);
    rmSync(path.join(artifactsDir, second), { recursive: true, force: true });
    const third = addRun([quantize('W3'), train(3)]);
    inherit(third);
    expect(checkpointFolder(project.db, third, 0, artifactsDir)).toBe(path.join(artifactsDir, first, 'stage-0'));
  });

  it.each([
    ['another seed', { seed: 2 }, 'W2G32'],
    ['another backend', { backend: 'webgpu' as const }, 'W2G32'],
    ['another first stage', {}, 'W3G32'],
  ])('share nothing with a run of %s', (_, options, scheme) => {
    addRun([quantize('W2G32'), train(1)], { finished: 2 });
    expect(inherit(addRun([quantize(scheme), train(1)], options))).toBeNull();
  });

  it('share nothing when the checkpoint is gone, or the stage is not finished', () => {
    const gone = addRun([quantize('W2G32'), train(1)], { finished: 1 });
    rmSync(path.join(artifactsDir, gone), { recursive: true });
    addRun([quantize('W4'), train(1)]);
    expect(inherit(addRun([quantize('W2G32'), train(2)]))).toBeNull();
    expect(inherit(addRun([quantize('W4'), train(2)]))).toBeNull();
  });

  it('keep to what they have done themselves', () => {
    addRun([quantize('W2G32'), train(1)], { finished: 2 });
    const own = addRun([quantize('W2G32'), train(1), evaluate], { finished: 1 });
    expect(inherit(own)).toBeNull();
    expect(listStages(project.db, own)[1]!.status).toBe('pending');
  });
});
