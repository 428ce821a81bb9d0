/**
 * Whole training steps of a small model, as a stage makes them: distillation through fake-quantized weights (W3, groups of 32, symmetric, live
 * scales; 16 × 128 tokens), and GRPO (8 prompts × 8 completions of up to 128 tokens at temperature 1, one update of all weights).
 */
import { dirname, join } from 'node:path';
import { parseScheme } from '#contract/scheme.ts';
import { type TrainStage, trainStageSchema } from '#contract/training.ts';
import { RandomStream } from '../data/random-stream.ts';
import { loadModel } from '../model/load.ts';
import { loadTokenizer } from '../model/tokenizer.ts';
import { BatchOrder } from '../training/batch-order.ts';
import { createTrainee } from '../training/create-trainee.ts';
import { runTraining } from '../training/loop.ts';
import type { TrainingTask } from '../training/task.ts';
import { KdTask } from '../training/tasks/kd.ts';
import { RlTask } from '../training/tasks/rl.ts';
import type { Trainee } from '../training/trainee.ts';
import { loadRlProblems } from '../training/training-data.ts';

const common = { type: 'train', optimizer: { learningRate: 1e-5, schedule: 'constant' }, checkpointEvery: 1000 };

/** Fastest step in milliseconds. */
export async function benchKdStep(modelDir: string, { steps }: { steps: number }): Promise<{ value: number; unit: 'ms/step' }> {
  const [batchSize, length] = [16, 129];
  const stage = trainStageSchema.parse({
    ...common,
    ...{ objective: { kind: 'kd' }, data: { path: 'random' }, steps, batchSize, batching: 'random' },
    trains: { kind: 'quantized', scheme: parseScheme('W3G32:sym') },
  });
  const teacher = await loadModel(modelDir);
  const trainee = await createTrainee({ modelDir, baseDir: modelDir, stage, seed: 0 });
  const stream = new RandomStream(0, 'bench', 'kd');
  const examples = Array.from({ length: batchSize }, () => ({
    ids: Array.from({ length }, () => stream.integer(3, trainee.config.vocabSize - 1)),
    lossStart: 1,
  }));
  const data = { count: batchSize, example: (index: number) => examples[index]! };
  const order = new BatchOrder(data, { seed: 0, batchSize, batchesPerWindow: 1 });
  if (stage.objective.kind !== 'kd') throw new Error('the stage distils');
  const task = new KdTask({ order, accumulation: 1, padTokenId: 0, objective: stage.objective, teacher, cache: null });
  return { value: await fastestStep(trainee, task, stage), unit: 'ms/step' };
}

export interface GrpoSize {
  steps: number;
  prompts?: number;
  completions?: number;
  maxNewTokens?: number;
}

/** Fastest step in seconds, the rollout included. `modelDir` lies beside the sample's benchmarks. */
export async function benchGrpoStep(
  modelDir: string,
  { steps, prompts = 8, completions = 8, maxNewTokens = 128 }: GrpoSize,
): Promise<{ value: number; unit: 's/step' }> {
  const stage = trainStageSchema.parse({
    ...common,
    ...{ trains: { kind: 'weights' }, steps, batchSize: prompts * completions },
    objective: { kind: 'rl', promptsPerStep: prompts, groupSize: completions, maxNewTokens, reward: { format: 0, correct: 1 } },
    data: { path: join(dirname(modelDir), 'benchmarks', 'abacus-sums.jsonl'), limit: prompts * steps },
  });
  const trainee = await createTrainee({ modelDir, baseDir: modelDir, stage, seed: 0 });
  const tokenizer = await loadTokenizer(modelDir);
  const { problems } = await loadRlProblems(stage.data, maxNewTokens, trainee.config, tokenizer);
  if (stage.objective.kind !== 'rl') throw new Error('the stage is RL');
  const { batchSize, objective } = stage;
  const task = new RlTask({
    objective,
    problems,
    tokenizer,
    batchSize,
    padTokenId: trainee.config.padTokenId ?? 0,
    seed: 0,
    reference: null,
  });
  return { value: (await fastestStep(trainee, task, stage)) / 1000, unit: 's/step' };
}

/** Of all but the first, in milliseconds. */
export async function fastestStep(trainee: Trainee, task: TrainingTask, { optimizer, steps }: TrainStage): Promise<number> {
  const { learningRate, schedule, beta1, beta2, epsilon, weightDecay, maxGradientNorm } = optimizer;
  let last = performance.now();
  let fastest = Number.POSITIVE_INFINITY;
  const settings = {
    ...{ steps, beta1, beta2, epsilon, weightDecay, maxGradientNorm, seed: 0, checkpointEvery: 0 },
    schedule: { kind: schedule, peak: learningRate, warmupSteps: 0, floorShare: 1 },
  };
  await runTraining(trainee, task, settings, {
    resumeKey: null,
    onStep: ({ step }) => {
      const now = performance.now();
      if (step > 1) fastest = Math.min(fastest, now - last);
      last = now;
    },
  });
  await task.dispose();
  trainee.dispose();
  return fastest;
}
