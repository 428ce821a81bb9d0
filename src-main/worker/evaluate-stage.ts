/** The evaluate stage: every completion becomes a sample event at once, so that a killed run loses at most the last tenth of a second. */
import type { Interval } from '#contract/comparison.ts';
import { stopText } from '#contract/early-stop.ts';
import type { EvaluateStage } from '#contract/recipe.ts';
import type { EvaluateSummary } from '#contract/worker.ts';
import { type EvaluationProgress, evaluateModel } from '../engine/benchmarks/evaluate.ts';
import { MemoryMeter } from '../engine/quantizers/memory-meter.ts';
import type { RunContext } from './run-context.ts';

/** Between two points of the curves. */
const metricMs = 1000;

export async function runEvaluateStage(context: RunContext, index: number, stage: EvaluateStage): Promise<EvaluateSummary> {
  const memory = new MemoryMeter();
  try {
    const summary = await evaluate(context, index, stage);
    return { ...summary, ...memory.peaks() };
  } finally {
    memory.stop();
  }
}

async function evaluate(context: RunContext, index: number, stage: EvaluateStage): Promise<EvaluateSummary> {
  const { events, request, signal } = context;
  const { recordedSamples, recordedWindows } = request.resume;
  if (recordedSamples.length > 0) events.log('info', `${recordedSamples.length} completions are already recorded and are kept.`);
  const curves = new EvaluationCurves(context, index);
  return evaluateModel(
    { model: await context.model(), tokenizer: await context.tokenizer(), protocol: stage.protocol, benchmarks: stage.benchmarks },
    {
      recordedSamples,
      recordedWindows,
      expectedTokens: request.expectedTokens,
      signal,
      onLog: (message) => events.log('warning', message),
      onSample: (sample) => events.emit({ type: 'sample', stage: index, sample }),
      onWindow: (window) => events.emit({ type: 'window', stage: index, window }),
      onStop: (stop, surplus) => {
        events.log('info', stopText(stop));
        events.emit({ type: 'benchmark-stopped', stage: index, stop, surplus });
      },
      onProgress: (progress) => {
        const { done, total, ratePerSecond, remainingMs, tokensPerSecond, benchmarks } = progress;
        const detail = tokensPerSecond === null ? '' : `${Math.round(tokensPerSecond)} tokens/s`;
        events.emit({ type: 'progress', stage: index, done, total, unit: 'completions', ratePerSecond, remainingMs, detail, benchmarks });
        curves.add(progress);
      },
    },
  );
}

/** Generation rate over completions, and each benchmark's accuracy with its interval over problems. */
class EvaluationCurves {
  private readonly context: RunContext;
  private readonly stage: number;
  private lastAt = 0;
  private lastDone = 0;
  private readonly lastProblems = new Map<string, number>();

  constructor(context: RunContext, stage: number) {
    this.context = context;
    this.stage = stage;
  }

  add({ done, total, tokensPerSecond, benchmarks }: EvaluationProgress): void {
    const now = performance.now();
    if (done === this.lastDone || (now - this.lastAt < metricMs && done < total)) return;
    this.lastAt = now;
    this.lastDone = done;
    if (tokensPerSecond !== null) this.emit('tokens-per-second', done, tokensPerSecond);
    for (const { benchmark, problems, accuracy } of benchmarks) {
      if (!accuracy || this.lastProblems.get(benchmark) === problems) continue;
      this.lastProblems.set(benchmark, problems);
      for (const [name, value] of accuracyPoints(accuracy)) this.emit(`${name}/${benchmark}`, problems, value);
    }
  }

  private emit(name: string, step: number, value: number): void {
    this.context.events.emit({ type: 'metric', stage: this.stage, name, step, value });
  }
}

function accuracyPoints({ value, low, high }: Interval): [name: string, value: number][] {
  return [
    ['accuracy', value],
    ['accuracy-low', low],
    ['accuracy-high', high],
  ];
}
