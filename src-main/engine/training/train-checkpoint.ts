/**
 * A whole train stage: model folder in, trained model folder out. Everything is checked before the first step; while it trains, checkpoints
 * lie in `<out>.work`, from which an interrupted stage goes on, and which goes away when the trained folder stands.
 */
import { rm } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { objectiveTitle, type TrainStage, trainsTitle } from '#contract/training.ts';
import type { TrainSummary } from '#contract/worker.ts';
import { fingerprint } from '../data/fingerprint.ts';
import type { SavedCheckpoint } from '../formats/quantized-checkpoint.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import { MemoryMeter } from '../quantizers/memory-meter.ts';
import { createTask, type PreparedTask } from './create-task.ts';
import { createTrainee } from './create-trainee.ts';
import { type LoopSettings, runTraining, type StepMetrics } from './loop.ts';
import type { SavedModel, Trainee } from './trainee.ts';

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
  onStep?(metrics: StepMetrics): void;
  /** Accuracy of the model as it is at `step`, when the stage asks for it. */
  evaluate?(model: LanguageModel, step: number): Promise<number>;
}

export interface TrainedCheckpoint {
  checkpoint: SavedCheckpoint;
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
    prepared = await createTask({
      ...{ stage, tokenizer, trainee, baseDir, workDir, seed, ...cancellation },
      config: trainee.config,
      onLog: (message) => onLog?.('warning', message),
    });
    const recent = new RecentMeans(Math.max(1, Math.ceil(stage.steps / 10)));
    const progress = await runTraining(trainee, prepared.task, loopSettings(stage, seed), {
      ...(await loopOptions(options, trainee, join(workDir, 'training'))),
      onStep: (metrics) => {
        recent.add(metrics);
        options.onStep?.(metrics);
      },
    });
    const saved = await trainee.save(outDir, {
      metadata: { objective: objectiveTitle(stage.objective), trains: stage.trains.kind, steps: String(stage.steps) },
      replace: options.replace ?? false,
      ...cancellation,
    });
    await rm(workDir, { recursive: true, force: true });
    const summary = summarize(options, trainee, prepared, saved, { ...progress, last: recent.means(), peakMemoryBytes: meter.peak() });
    return { checkpoint: saved.checkpoint, summary };
  } finally {
    await prepared?.task.dispose();
    trainee?.dispose();
    meter.stop();
  }
}

function loopSettings(stage: TrainStage, seed: number): LoopSettings {
  const { learningRate, schedule, warmupSteps, floorShare, beta1, beta2, epsilon, weightDecay, maxGradientNorm } = stage.optimizer;
  return {
    ...{ steps: stage.steps, beta1, beta2, epsilon, weightDecay, maxGradientNorm, seed, checkpointEvery: stage.checkpointEvery },
    schedule: { kind: schedule, peak: learningRate, warmupSteps, floorShare },
    peaks: stage.trains.kind === 'flatquant' ? { transforms: stage.trains.transformRate, clips: stage.trains.clipRate } : {},
  };
}

async function loopOptions({ stage, seed, modelHash, signal, evaluate }: TrainCheckpointOptions, trainee: Trainee, checkpointDir: string) {
  const { sha256 } = await fingerprint(stage.data.path);
  const { checkpointEvery: _, evaluation, ...decisive } = stage;
  const evaluating = evaluation && evaluate;
  return {
    checkpointDir,
    resumeKey: { stage: decisive, seed, model: modelHash, data: sha256 },
    probes: stage.probes,
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

interface Outcome {
  tokens: number;
  best: { step: number; accuracy: number } | null;
  last: Record<string, number>;
  peakMemoryBytes: number;
}

function summarize(
  { stage }: TrainCheckpointOptions,
  trainee: Trainee,
  { examples, tooLong }: PreparedTask,
  saved: SavedModel,
  { tokens, best, last, peakMemoryBytes }: Outcome,
): TrainSummary {
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
    last,
    best,
    totalBytes: saved.checkpoint.weightBytes,
    quantizedBytes: saved.quantizedBytes,
    bitsPerWeight: saved.bitsPerWeight,
    notes: [...trainee.notes],
    peakMemoryBytes,
  };
}

/** Means of every figure over the last steps of this execution. */
class RecentMeans {
  private readonly length: number;
  private readonly steps: Record<string, number>[] = [];

  constructor(length: number) {
    this.length = length;
  }

  add({ loss, gradientNorm, more }: StepMetrics): void {
    this.steps.push({ loss, 'gradient-norm': gradientNorm, ...more });
    if (this.steps.length > this.length) this.steps.shift();
  }

  means(): Record<string, number> {
    const names = new Set(this.steps.flatMap((step) => Object.keys(step)));
    return Object.fromEntries(
      [...names].map((name) => {
        const values = this.steps.map((step) => step[name]).filter((value) => value !== undefined);
        return [name, values.reduce((sum, value) => sum + value, 0) / values.length];
      }),
    );
  }
}
