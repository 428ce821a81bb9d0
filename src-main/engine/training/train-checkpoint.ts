/**
 * A whole train stage: model folder in, trained model folder out. Everything is checked before the first step; while it trains, checkpoints
 * lie in `<out>.work`, from which an interrupted stage goes on, and which goes away when the trained folder stands.
 */
import { rm } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { objectiveTitle, type TrainStage, trainsTitle } from '#contract/training.ts';
import type { TrainSummary } from '#contract/worker.ts';
import type { Gpu } from '../backends/webgpu/device.ts';
import { fingerprint } from '../data/fingerprint.ts';
import type { SavedCheckpoint } from '../formats/quantized-checkpoint.ts';
import type { LanguageModel } from '../model/language-model.ts';
import { readStoredForms, type StoredForms } from '../model/stored-forms.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import { activeGpu, MemoryMeter } from '../quantizers/memory-meter.ts';
import { restoreParameters, type TrainingProgress } from './checkpoint.ts';
import { createTask, type PreparedTask } from './create-task.ts';
import { createTrainee } from './create-trainee.ts';
import { estimateGpuTrainStage, teacherForms } from './gpu-stage-memory.ts';
import { type LoopSettings, runTraining, type StepMetrics } from './loop.ts';
import { estimateTrainingMemory } from './memory-estimate.ts';
import type { SavedModel, SaveOptions, Trainee } from './trainee.ts';

export interface TrainCheckpointOptions {
  /** The model as the stages before have left it, and the run's own, unquantized one. */
  sourceDir: string;
  baseDir: string;
  outDir: string;
  stage: TrainStage;
  seed: number;
  /** Identifies the contents of the source; a changed source is not continued. */
  modelHash: string;
  tokenizer: ModelTokenizer;
  replace?: boolean;
  signal?: AbortSignal;
  onLog?(level: 'info' | 'warning', message: string): void;
  onResume?(step: number): void;
  onStep?(metrics: StepMetrics): void;
  /** Called before a checkpoint is written; see `LoopOptions`. */
  beforeSave?(): void;
  /** Accuracy of the model as it is at `step`, when the stage asks for it. */
  evaluate?(model: LanguageModel, step: number): Promise<number>;
}

export interface TrainedCheckpoint {
  checkpoint: SavedCheckpoint;
  /** The evaluated step with the highest accuracy, beside the last one, where it is another. */
  best: SavedCheckpoint | null;
  summary: TrainSummary;
}

/** Throws what making the trainee and the task throws, `numeric`, `cancelled`, `disk-full`. */
export async function trainCheckpoint(options: TrainCheckpointOptions): Promise<TrainedCheckpoint> {
  const { stage, outDir, sourceDir, baseDir, tokenizer, seed, signal, onLog } = options;
  const workDir = `${outDir}.work`;
  const meter = new MemoryMeter();
  const cancellation = signal ? { signal } : {};
  let trainee: Trainee | null = null;
  let prepared: PreparedTask | null = null;
  try {
    trainee = await createTrainee({ modelDir: sourceDir, baseDir, stage, seed, ...cancellation });
    for (const note of trainee.notes) onLog?.('info', note);
    const gpu = activeGpu();
    const forms = gpu ? await readStoredForms(sourceDir, trainee.config) : null;
    prepared = await createTask({
      ...{ stage, tokenizer, trainee, baseDir, workDir, seed, forms, ...cancellation },
      config: trainee.config,
      onLog: (message) => onLog?.('warning', message),
    });
    const loop = await loopOptions(options, trainee, join(workDir, 'training'));
    const progress = await runTraining(trainee, prepared.task, loopSettings(stage, seed), loop);
    const saved = await trainee.save(outDir, saveOptions(options, stage.steps, options.replace ?? false));
    const best = await saveBest(options, trainee, progress, `${loop.checkpointDir}-best`, loop.resumeKey);
    await rm(workDir, { recursive: true, force: true });
    const memory = {
      ...meter.peaks(),
      ...(gpu && forms ? { estimatedGpuMemoryBytes: await estimateOnGpu(gpu, forms, options, prepared.longest) } : {}),
      estimatedMemoryBytes: estimateTrainingMemory(trainee.config, stage, prepared.longest),
    };
    const summary = { ...summarize(options, trainee, prepared, saved, progress), ...memory };
    return { checkpoint: saved.checkpoint, best, summary };
  } finally {
    await prepared?.task.dispose();
    trainee?.dispose();
    meter.stop();
  }
}

async function estimateOnGpu(
  { memory, device }: Gpu,
  forms: StoredForms,
  { stage, baseDir }: TrainCheckpointOptions,
  longest?: number,
): Promise<number> {
  const teacher = await teacherForms(stage, baseDir);
  const room = { budgetBytes: memory.budgetBytes, bindingBytes: device.limits.maxStorageBufferBindingSize };
  return estimateGpuTrainStage({ forms, stage, ...(longest === undefined ? {} : { longest }), ...(teacher ? { teacher } : {}) }, room)
    .bytes;
}

function saveOptions({ stage, signal }: TrainCheckpointOptions, steps: number, replace: boolean): SaveOptions {
  const metadata = { objective: objectiveTitle(stage.objective), trains: stage.trains.kind, steps: String(steps) };
  return { metadata, replace, ...(signal ? { signal } : {}) };
}

/** Writes the best step as a model folder of its own; the trainee is no good for more steps afterwards. */
async function saveBest(
  options: TrainCheckpointOptions,
  trainee: Trainee,
  { best, step }: TrainingProgress,
  checkpointDir: string,
  resumeKey: unknown,
): Promise<TrainedCheckpoint['best']> {
  if (!best || best.step === step) return null;
  await restoreParameters(checkpointDir, trainee.parameters, resumeKey);
  await trainee.beginStep(best.step);
  const { checkpoint } = await trainee.save(`${options.outDir}-best`, saveOptions(options, best.step, true));
  return checkpoint;
}

function loopSettings(stage: TrainStage, seed: number): LoopSettings {
  const { learningRate, schedule, warmupSteps, floorShare, beta1, beta2, epsilon, weightDecay, maxGradientNorm } = stage.optimizer;
  return {
    ...{ steps: stage.steps, beta1, beta2, epsilon, weightDecay, maxGradientNorm, seed, checkpointEvery: stage.checkpointEvery },
    schedule: { kind: schedule, peak: learningRate, warmupSteps, floorShare },
    peaks: stage.trains.kind === 'flatquant' ? { transforms: stage.trains.transformRate, clips: stage.trains.clipRate } : {},
  };
}

async function loopOptions(options: TrainCheckpointOptions, trainee: Trainee, checkpointDir: string) {
  const { stage, seed, modelHash, signal, evaluate, onStep, onResume } = options;
  const { sha256 } = await fingerprint(stage.data.path);
  const { checkpointEvery: _, evaluation, ...decisive } = stage;
  const evaluating = evaluation && evaluate;
  return {
    checkpointDir,
    resumeKey: { stage: decisive, seed, model: modelHash, data: sha256 },
    probes: stage.probes,
    ...(onStep ? { onStep } : {}),
    ...(options.beforeSave ? { beforeSave: options.beforeSave } : {}),
    ...(onResume ? { onResume } : {}),
    ...(signal ? { signal } : {}),
    ...(evaluating ? { evaluateEvery: evaluation.every, evaluate: (step: number) => evaluateTrainee(trainee, step, evaluate) } : {}),
  };
}

async function evaluateTrainee(
  trainee: Trainee,
  step: number,
  evaluate: (model: LanguageModel, step: number) => Promise<number>,
): Promise<number> {
  const { model, release } = await trainee.generationModel();
  try {
    return await evaluate(model, step);
  } finally {
    release();
  }
}

function summarize(
  { stage }: TrainCheckpointOptions,
  trainee: Trainee,
  { examples, tooLong }: PreparedTask,
  saved: SavedModel,
  { tokens, best, last }: TrainingProgress,
): Omit<TrainSummary, 'peakMemoryBytes'> {
  return {
    type: 'train',
    objective: objectiveTitle(stage.objective),
    trains: trainsTitle(stage.trains),
    steps: stage.steps,
    tokens,
    trainableParameters: trainee.parameters.reduce((sum, { variable }) => sum + variable.size, 0),
    examples,
    tooLong,
    domain: stage.data.domain ?? basename(stage.data.path, extname(stage.data.path)),
    last: Object.fromEntries(Object.entries(last).map(([name, { sum, count }]) => [name, sum / count])),
    best,
    totalBytes: saved.checkpoint.weightBytes,
    quantizedBytes: saved.quantizedBytes,
    bitsPerWeight: saved.bitsPerWeight,
    notes: [...trainee.notes],
  };
}
