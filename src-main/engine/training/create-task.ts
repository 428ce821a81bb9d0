/** The task of a train stage: its data, its objective, and what the objective needs besides (a teacher, a sampler, a verifier). */
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import type { KdObjective, RlObjective, TrainStage } from '#contract/training.ts';
import { fingerprint } from '../data/fingerprint.ts';
import type { ModelConfig } from '../model/config.ts';
import { copyModel } from '../model/copy-model.ts';
import type { LanguageModel } from '../model/language-model.ts';
import { frozenStorage, loadModel } from '../model/load.ts';
import type { StoredForms } from '../model/stored-forms.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import { BatchOrder } from './batch-order.ts';
import type { TrainingData } from './examples.ts';
import { estimateGpuTrainingMemory } from './gpu-memory-estimate.ts';
import type { TrainingTask } from './task.ts';
import { KdTask } from './tasks/kd.ts';
import { RlTask } from './tasks/rl.ts';
import { type ExampleTaskOptions, SftTask } from './tasks/sft.ts';
import { hashExamples, TeacherCache } from './tasks/teacher-cache.ts';
import type { Trainee } from './trainee.ts';
import { loadExamples, loadRlProblems } from './training-data.ts';

export interface TaskSource {
  stage: TrainStage;
  config: ModelConfig;
  tokenizer: ModelTokenizer;
  /** As it starts: what RL with `beta` above 0 holds on to is a copy of it. */
  trainee: Trainee;
  /** The run's own, unquantized model: the teacher unless the stage names another. */
  baseDir: string;
  /** For what may be kept on disk while training, such as the teacher's logits. */
  workDir: string;
  seed: number;
  /** On a GPU: how the model is stored that is trained. */
  forms: StoredForms | null;
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

/** Batches among which sequences are sorted by length; packed ones need not be alike. */
const batchesPerWindow = { length: 16, packing: 1, random: 1 } as const;

/** Throws what loading its data, its teacher and its verifier throws. */
export async function createTask(source: TaskSource): Promise<PreparedTask> {
  const { stage, config, tokenizer, seed, signal } = source;
  const { objective, data, batching, batchSize, accumulation } = stage;
  if (objective.kind === 'rl') return await createRlTask(source, objective);
  const examples = await loadExamples(data, config, tokenizer, signal ? { signal } : {});
  const order = new BatchOrder(examples, { seed, batchSize, batchesPerWindow: batchesPerWindow[batching] });
  const options: ExampleTaskOptions = { order, accumulation, padTokenId: config.padTokenId ?? 0, packs: batching === 'packing' };
  const task = objective.kind === 'sft' ? new SftTask(options) : await createKdTask(source, objective, options, examples);
  return { task, examples: examples.count, tooLong: examples.tooLong, longest: longestOf(examples) };
}

function longestOf(examples: TrainingData): number {
  let longest = 0;
  for (let index = 0; index < examples.count; index++) longest = Math.max(longest, examples.example(index).ids.length);
  return longest;
}

async function createKdTask(
  { config, baseDir, workDir, signal }: TaskSource,
  objective: KdObjective,
  options: ExampleTaskOptions,
  examples: TrainingData,
): Promise<KdTask> {
  const dir = objective.teacher ?? baseDir;
  const teacher = await loadModel(dir, { storage: frozenStorage(), ...(signal ? { signal } : {}) });
  try {
    checkTeacher(dir, teacher, config, objective);
    if (!objective.cacheTeacher) return new KdTask({ ...options, objective, teacher, cache: null });
    const key = { teacher: await hashModel(dir), data: hashExamples(examples), k: objective.topK! };
    const store = await TeacherCache.open(join(workDir, 'teacher'), key);
    const indexOf = new Map(Array.from({ length: examples.count }, (_, index) => [examples.example(index), index]));
    return new KdTask({ ...options, objective, teacher, cache: { store, indexOf } });
  } catch (error) {
    teacher.dispose();
    throw error;
  }
}

function checkTeacher(dir: string, teacher: LanguageModel, config: ModelConfig, { topK }: KdObjective): void {
  const { vocabSize } = teacher.config;
  if (vocabSize !== config.vocabSize)
    throw new RoundoffError(
      'bad-input',
      `The teacher ${dir} has a vocabulary of ${vocabSize} tokens, the student one of ${config.vocabSize}.`,
      'Distillation compares distributions token by token: choose a teacher of the same family.',
    );
  if (topK !== null && topK > vocabSize)
    throw new RoundoffError(
      'bad-input',
      `The teacher has only ${vocabSize} tokens, not the top ${topK}.`,
      'Lower topK, or leave it out for the whole distribution.',
    );
}

/** Identifies the contents of a model folder: its configuration and weights. */
async function hashModel(dir: string): Promise<string> {
  const names = (await readdir(dir)).filter((name) => name === 'config.json' || name.endsWith('.safetensors')).sort();
  const hash = createHash('sha256');
  for (const name of names) hash.update(`${name} ${(await fingerprint(join(dir, name))).sha256}\n`);
  return hash.digest('hex');
}

async function createRlTask(source: TaskSource, objective: RlObjective): Promise<PreparedTask> {
  const { stage, config, tokenizer, trainee, seed, forms, signal, onLog } = source;
  const loaded = await loadRlProblems(stage.data, objective.maxNewTokens, config, tokenizer, signal ? { signal } : {});
  const longest = loaded.problems.reduce((most, { promptIds }) => Math.max(most, promptIds.length), 0);
  const reference = objective.beta > 0 ? await startingPolicy(trainee) : null;
  try {
    const task = new RlTask({
      ...{
        objective,
        tokenizer,
        seed,
        reference,
        problems: loaded.problems,
        batchSize: stage.batchSize,
        padTokenId: config.padTokenId ?? 0,
      },
      ...(forms ? { reservedBytes: estimateGpuTrainingMemory({ forms, stage, longest }) } : {}),
      ...(onLog ? { onLog } : {}),
    });
    return { task, examples: loaded.problems.length, tooLong: loaded.tooLong, longest };
  } catch (error) {
    reference?.dispose();
    throw error;
  }
}

/** The policy before any step, also where a run is continued later: what TRL takes as the reference, too. */
async function startingPolicy(trainee: Trainee): Promise<LanguageModel> {
  await trainee.beginStep(0);
  const { model, release } = await trainee.generationModel();
  try {
    return await copyModel(model);
  } finally {
    release();
  }
}
