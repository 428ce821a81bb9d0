/** Whole train stages of the sample model by distillation and by reinforcement learning: interrupted ones end as undisturbed ones do, bit for bit. */
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { loadTokenizer, type ModelTokenizer } from '../../../../src-main/engine/model/tokenizer.ts';
import { trainCheckpoint } from '../../../../src-main/engine/training/train-checkpoint.ts';
import { type TrainStage, trainStageSchema } from '../../../../src-preload/contract/training.ts';
import { testBackend } from '../../../support/test-backend.ts';

const sample = resolve(import.meta.dirname, '../../../../resources/sample');
const abacus = join(sample, 'abacus');
let dir: string;
let tokenizer: ModelTokenizer;
beforeAll(async () => {
  await selectBackend(testBackend);
  dir = await mkdtemp(join(tmpdir(), 'roundoff-objectives-'));
  tokenizer = await loadTokenizer(abacus, { vocabSize: 448 });
});
afterAll(() => rm(dir, { recursive: true, force: true }));

function stageOf(objective: object): TrainStage {
  return trainStageSchema.parse({
    type: 'train',
    ...{ objective, trains: { kind: 'weights' }, steps: 4, batchSize: 2, checkpointEvery: 1 },
    data: { path: join(sample, 'training/abacus.jsonl'), limit: 12 },
    optimizer: { learningRate: 1e-4, schedule: 'constant' },
  });
}

/** Trains into a folder, stopped after `stopAfter` steps and continued; returns each step's figures and the weights' hash. */
async function train(name: string, stage: TrainStage, stopAfter: number | null) {
  const outDir = join(dir, name);
  const steps: Record<string, number>[] = [];
  const run = async (stop: AbortController | null) => {
    await trainCheckpoint({
      ...{ sourceDir: abacus, baseDir: abacus, outDir, stage, seed: 5, modelHash: 'abacus', tokenizer },
      ...(stop ? { signal: stop.signal } : {}),
      onStep: ({ step, loss, gradientNorm, more }) => {
        const { 'rollout-tokens-per-second': _, ...figures } = more;
        steps.push({ step, loss, gradientNorm, ...figures });
        if (step === stopAfter) stop?.abort();
      },
    });
  };
  if (stopAfter !== null) await expect(run(new AbortController())).rejects.toMatchObject({ code: 'cancelled' });
  await run(null);
  const weights = createHash('sha256')
    .update(await readFile(join(outDir, 'model.safetensors')))
    .digest('hex');
  return { steps, weights };
}

it.each([
  [
    'rl',
    { kind: 'rl', promptsPerStep: 2, groupSize: 2, maxNewTokens: 12, updatesPerRollout: 2, beta: 0.1, reward: { truncated: -0.5 } },
    2,
  ],
  ['kd', { kind: 'kd', topK: 8, cacheTeacher: true }, 2],
])('%s', async (name, objective, stopAfter) => {
  const stage = stageOf(objective);
  const undisturbed = await train(`${name}-undisturbed`, stage, null);
  const interrupted = await train(`${name}-interrupted`, stage, stopAfter);
  expect(undisturbed.steps).toHaveLength(4);
  expect(interrupted.steps).toEqual(undisturbed.steps);
  expect(interrupted.weights).toBe(undisturbed.weights);
});

it('an interruption between the updates of one rollout goes on from before the rollout', async () => {
  const stage = stageOf({
    kind: 'rl',
    promptsPerStep: 2,
    groupSize: 2,
    maxNewTokens: 12,
    updatesPerRollout: 2,
    reward: { truncated: -0.5 },
  });
  const undisturbed = await train('between-undisturbed', stage, null);
  const { steps, weights } = await train('between-interrupted', stage, 3);
  expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 3, 4]);
  expect(steps[3]).toEqual(undisturbed.steps[2]);
  expect(weights).toBe(undisturbed.weights);
});

it('refuses what a task cannot do, before the first step', async () => {
  const attempt = (objective: object, more: object = {}) =>
    train('refused', { ...stageOf(objective), ...more } as TrainStage, null).catch((error: Error) => error.message);
  const rl = { kind: 'rl', promptsPerStep: 99, maxNewTokens: 12 };
  expect(await attempt(rl)).toContain('has only 12');
  expect(await attempt({ ...rl, promptsPerStep: 2, verifier: 'oracle' })).toContain('no verifier "oracle"');
  expect(await attempt({ kind: 'kd', topK: 9999 })).toContain('only 448 tokens');
  const stranger = resolve(import.meta.dirname, '../../../golden/fixtures/models/qwen3-tied');
  expect(await attempt({ kind: 'kd', teacher: stranger })).toContain('the student one of 448');
});
