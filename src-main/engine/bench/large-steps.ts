/**
 * Training steps of a model of random weights, by the code that stages run: supervised fine-tuning of all weights on random tokens, and GRPO
 * whose reward is a coin that every engine can toss alike: whether a completion's first token has an even number.
 */
import { type TrainStage, trainStageSchema } from '#contract/training.ts';
import { RandomStream } from '../data/random-stream.ts';
import { BatchOrder } from '../training/batch-order.ts';
import { createTrainee } from '../training/create-trainee.ts';
import { RlTask } from '../training/tasks/rl.ts';
import { SftTask } from '../training/tasks/sft.ts';
import { fastestStep, type GrpoSize } from './training-steps.ts';

const optimizer = { learningRate: 1e-5, schedule: 'constant' };

export interface SftSize {
  batch: number;
  /** Tokens that count per sequence. */
  length: number;
  steps: number;
  activationCheckpointing?: boolean;
}

/** Fastest step in milliseconds. */
export async function benchSftStep(modelDir: string, size: SftSize): Promise<{ value: number; unit: 'ms/step' }> {
  const { batch, length, steps, activationCheckpointing = false } = size;
  const stage = trainStageSchema.parse({
    ...{ type: 'train', optimizer, checkpointEvery: 1000, data: { path: 'random' } },
    ...{ objective: { kind: 'sft' }, trains: { kind: 'weights' }, steps, batchSize: batch, batching: 'random', activationCheckpointing },
  });
  const trainee = await createTrainee({ modelDir, baseDir: modelDir, stage, seed: 0 });
  const stream = new RandomStream(0, 'bench', 'sft');
  const ids = () => Array.from({ length: length + 1 }, () => stream.integer(3, trainee.config.vocabSize - 1));
  const examples = Array.from({ length: batch }, () => ({ ids: ids(), lossStart: 1 }));
  const data = { count: batch, example: (index: number) => examples[index]! };
  const order = new BatchOrder(data, { seed: 0, batchSize: batch, batchesPerWindow: 1 });
  const task = new SftTask({ order, accumulation: 1, padTokenId: 0 });
  return { value: await fastestStep(trainee, task, stage), unit: 'ms/step' };
}

/** Fastest step in seconds: rollouts of random prompts, and one update of all weights. */
export async function benchLargeGrpoStep(modelDir: string, size: Required<GrpoSize>): Promise<{ value: number; unit: 's/step' }> {
  const { steps, prompts, completions, maxNewTokens } = size;
  const stage: TrainStage = trainStageSchema.parse({
    ...{ type: 'train', optimizer, checkpointEvery: 1000, data: { path: 'random' }, trains: { kind: 'weights' }, steps },
    objective: { kind: 'rl', promptsPerStep: prompts, groupSize: completions, maxNewTokens, reward: { format: 1, correct: 0 } },
    batchSize: prompts * completions,
  });
  if (stage.objective.kind !== 'rl') throw new Error('the stage is RL');
  const trainee = await createTrainee({ modelDir, baseDir: modelDir, stage, seed: 0 });
  const stream = new RandomStream(0, 'bench', 'grpo');
  const problems = Array.from({ length: prompts * steps }, (_, index) => ({
    id: String(index),
    promptIds: Array.from({ length: promptTokens }, () => stream.integer(3, trainee.config.vocabSize - 3)),
    gold: '0',
  }));
  const tokenizer = { decode: ([first = 1]: readonly number[]) => (first % 2 === 0 ? '\\boxed{0}' : '') };
  const { objective, batchSize } = stage;
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

const promptTokens = 64;
