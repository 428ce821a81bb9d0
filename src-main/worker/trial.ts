/**
 * Tries the stages of a run: each is executed as in a run, in a folder that is thrown away, until its own progress tells how long it takes.
 * A stage that came to its end hands its checkpoint to the next, as in a run; after one that did not, the model as it was before is evaluated.
 */
import { mkdir, rm } from 'node:fs/promises';
import { RoundoffError } from '#contract/errors.ts';
import type { StagePrediction, TrialOutcome, TrialRequest } from '#contract/preflight.ts';
import { type EvaluateStage, type QuantizeStage, stageTitle } from '#contract/recipe.ts';
import type { TrainStage } from '#contract/training.ts';
import type { RunRequest, StageSummary, WorkerToMain } from '#contract/worker.ts';
import { selectBackend } from '../engine/backends/select.ts';
import { type EvaluationTrial, tryEvaluation } from '../engine/benchmarks/evaluation-trial.ts';
import { throwIfCancelled } from '../engine/data/cancellation.ts';
import { inspectModel, requireUsable } from '../engine/model/inspect.ts';
import { layerLinears } from '../engine/model/parameters.ts';
import { MemoryMeter } from '../engine/quantizers/memory-meter.ts';
import { EventEmitter } from './event-emitter.ts';
import { runQuantizeStage } from './quantize-stage.ts';
import { RunContext } from './run-context.ts';
import { StageWatch, type WatchSettings } from './stage-watch.ts';
import { runTrainStage } from './train-stage.ts';

export interface TrialOptions {
  signal: AbortSignal;
  onProgress(title: string, detail: string): void;
}

const leastMs = 10_000;

/** @throws RoundoffError what the stages throw, `cancelled` on abort */
export async function runTrial(request: TrialRequest, options: TrialOptions): Promise<TrialOutcome> {
  await rm(request.scratchDir, { recursive: true, force: true });
  await mkdir(request.scratchDir, { recursive: true });
  const backend = await selectBackend(request.backend);
  const inspection = await inspectModel(request.modelDir, { signal: options.signal });
  requireUsable(inspection);
  const openMs = performance.now();
  const trial = new Trial(request, options, inspection.hash);
  const stages: StagePrediction[] = [];
  for (const [index, stage] of request.stages.entries()) {
    throwIfCancelled(options.signal, 'The trial');
    if (stage.type === 'evaluate') stages.push(await trial.evaluate(index, stage));
    else if (stage.type !== 'export') stages.push(await trial.execute(index, stage));
  }
  trial.dispose();
  return { backend: backend.name, device: backend.device, openMs, stages };
}

class Trial {
  private readonly request: RunRequest;
  private readonly options: TrialOptions;
  private readonly modelHash: string;
  private modelDir: string;
  private context: RunContext | null = null;

  constructor({ modelDir, stages, seed, backend, scratchDir }: TrialRequest, options: TrialOptions, modelHash: string) {
    this.request = {
      ...{ runId: 'trial', recipe: { name: 'trial', description: '', stages }, modelDir, outputDir: scratchDir, seed, backend },
      ...{
        resume: { lastSeq: 0, finishedStages: [], checkpoints: [], recordedSamples: [], recordedWindows: [] },
        expectedTokens: new Map(),
      },
    };
    this.options = options;
    this.modelHash = modelHash;
    this.modelDir = modelDir;
  }

  dispose(): void {
    this.context?.dispose();
  }

  /** A quantize or train stage. */
  async execute(index: number, stage: QuantizeStage | TrainStage): Promise<StagePrediction> {
    const title = stageTitle(stage);
    const watch = new StageWatch(watchSettings(stage));
    const enough = new AbortController();
    const context = this.begin(AbortSignal.any([this.options.signal, enough.signal]), (message) => {
      for (const event of message.type === 'events' ? message.events : []) {
        if (event.type !== 'progress') continue;
        this.options.onProgress(title, `${event.done} of ${event.total} ${event.unit}`);
        if (watch.see(event)) enough.abort();
      }
    });
    const memory = new MemoryMeter();
    const startedAt = performance.now();
    try {
      let summary: StageSummary | null = null;
      try {
        summary = stage.type === 'quantize' ? await runQuantizeStage(context, index, stage) : await runTrainStage(context, index, stage);
        this.modelDir = context.modelDir;
      } catch (error) {
        if (this.options.signal.aborted || !(error instanceof RoundoffError && error.code === 'cancelled')) throw error;
      }
      const triedMs = performance.now() - startedAt;
      const rest = summary ? { elapsedMs: triedMs, basis: 'executed to its end' } : this.predict(watch, title);
      return { stage: index, title, triedMs, isWhole: summary !== null, peakMemoryBytes: memory.peak(), tokensPerSecond: null, ...rest };
    } finally {
      memory.stop();
    }
  }

  async evaluate(index: number, stage: EvaluateStage): Promise<StagePrediction> {
    const title = stageTitle(stage);
    const { signal } = this.options;
    const context = this.begin(signal, () => undefined);
    const memory = new MemoryMeter();
    const startedAt = performance.now();
    try {
      const [model, tokenizer] = [await context.model(), await context.tokenizer()];
      const loadMs = performance.now() - startedAt;
      let peakMemoryBytes = 0;
      const tried = await tryEvaluation(
        { model, tokenizer, protocol: stage.protocol, benchmarks: stage.benchmarks },
        {
          signal,
          onPeak: () => {
            peakMemoryBytes = memory.peak();
          },
          onProgress: (detail) => this.options.onProgress(title, detail),
        },
      );
      const { longest, isWhole, tokensPerSecond } = tried;
      return {
        ...{ stage: index, title, isWhole, tokensPerSecond, peakMemoryBytes, elapsedMs: loadMs + tried.elapsedMs },
        triedMs: performance.now() - startedAt,
        basis: longest ? `${tried.basis}; ${longestText(longest)}` : tried.basis,
      };
    } finally {
      memory.stop();
    }
  }

  /** A context as a run's, on the model as the stages so far have left it. */
  private begin(signal: AbortSignal, post: (message: WorkerToMain) => void): RunContext {
    this.context?.dispose();
    this.context = new RunContext(this.request, new EventEmitter(post, 'trial', 0), signal, this.modelHash);
    if (this.modelDir !== this.request.modelDir) this.context.continueFrom(this.modelDir);
    return this.context;
  }

  private predict(watch: StageWatch, title: string): { elapsedMs: number; basis: string } {
    const predicted = watch.predict();
    if (!predicted) throw new RoundoffError('internal', `${title} ended before anything could be measured.`, 'Try again.');
    const { elapsedMs, done, total, unit } = predicted;
    return { elapsedMs, basis: `${done} of ${total} ${unit} were executed; the rest is taken to go on like that` };
  }
}

function longestText(longest: NonNullable<EvaluationTrial['longest']>): string {
  if ('skipped' in longest) return `a sequence of ${longest.tokens} tokens was not tried: ${longest.skipped}`;
  return `one of ${longest.tokens} tokens, the longest there may be, took ${(longest.elapsedMs / 1000).toPrecision(2)} s by itself`;
}

/** A quantizer works layer by layer (one whose linears differ is judged linear by linear), RL rollout by rollout. */
function watchSettings(stage: QuantizeStage | TrainStage): WatchSettings {
  if (stage.type === 'train') {
    const { objective } = stage;
    return { roundOf: { steps: objective.kind === 'rl' ? objective.updatesPerRollout : 1 }, leastMs, leastRounds: 4 };
  }
  const isEven = !stage.overrides && !stage.mixed;
  return { roundOf: { linears: isEven ? layerLinears.length : 1 }, leastMs, leastRounds: 2 };
}
