/** The task of a train stage: its data, its objective, and what the objective needs besides (a teacher, a sampler, a verifier). */
import { RoundoffError } from '#contract/errors.ts';
import type { TrainStage } from '#contract/training.ts';
import type { ModelConfig } from '../model/config.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import { BatchOrder } from './batch-order.ts';
import type { TrainingData } from './examples.ts';
import type { TrainingTask } from './task.ts';
import { SftTask } from './tasks/sft.ts';
import { loadExamples } from './training-data.ts';

export interface TaskSource {
  stage: TrainStage;
  config: ModelConfig;
  tokenizer: ModelTokenizer;
  /** The run's own, unquantized model: the teacher unless the stage names another. */
  baseDir: string;
  /** For what may be kept on disk while training, such as the teacher's logits. */
  workDir: string;
  seed: number;
  signal?: AbortSignal;
  onLog?(message: string): void;
}

export interface PreparedTask {
  task: TrainingTask;
  /** Examples or problems, and how many were left out as too long. */
  examples: number;
  tooLong: number;
  /** Tokens of the longest example (of the longest prompt, for RL). */
  longest?: number;
}

/** Batches among which sequences are sorted by length. */
const batchesPerWindow = { length: 16, packing: 16, random: 1 } as const;

/** Throws what loading its data, its teacher and its verifier throws. */
export async function createTask(source: TaskSource): Promise<PreparedTask> {
  const { stage, config, tokenizer, seed, signal } = source;
  const { objective, data, batching, batchSize, accumulation } = stage;
  if (objective.kind !== 'sft' || batching === 'packing')
    throw new RoundoffError('unsupported', `Training by ${objective.kind} is not available.`, 'Train by sft.');
  const examples = await loadExamples(data, config, tokenizer, signal ? { signal } : {});
  const order = new BatchOrder(examples, { seed, batchSize, batchesPerWindow: batchesPerWindow[batching] });
  const task = new SftTask({ order, accumulation, padTokenId: config.padTokenId ?? 0 });
  return { task, examples: examples.count, tooLong: examples.tooLong, longest: longestOf(examples) };
}

function longestOf(examples: TrainingData): number {
  let longest = 0;
  for (let index = 0; index < examples.count; index++) longest = Math.max(longest, examples.example(index).ids.length);
  return longest;
}
