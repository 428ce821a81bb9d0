/**
 * The train stage: trains the model as the stages before left it, reports every step, and goes on from what was saved. Metrics of steps that
 * are made again after a kill replace the earlier ones.
 */
import path from 'node:path';
import type { EvaluateStage } from '#contract/recipe.ts';
import type { TrainStage } from '#contract/training.ts';
import type { TrainSummary } from '#contract/worker.ts';
import { accuracyOf } from '../engine/benchmarks/accuracy-of.ts';
import { writeWholeFile } from '../engine/formats/atomic-file.ts';
import type { LanguageModel } from '../engine/model/language-model.ts';
import { activeGpu } from '../engine/quantizers/memory-meter.ts';
import { describeStep } from '../engine/training/describe-step.ts';
import type { StepMetrics } from '../engine/training/index.ts';
import { trainCheckpoint } from '../engine/training/train-checkpoint.ts';
import { ProgressMeter } from './progress-meter.ts';
import type { RunContext } from './run-context.ts';

export async function runTrainStage(context: RunContext, index: number, stage: TrainStage): Promise<TrainSummary> {
  const { events, request, signal } = context;
  const dir = context.checkpointDir(index);
  const sourceDir = context.modelDir;
  context.dispose();
  let meter: ProgressMeter | null = null;
  events.emit({
    type: 'progress',
    stage: index,
    unit: 'steps',
    detail: 'loading the model and the data',
    ...new ProgressMeter(stage.steps).read(0),
  });
  const { checkpoint, best, summary } = await trainCheckpoint({
    ...{ sourceDir, baseDir: request.modelDir, outDir: dir, stage, seed: request.seed, modelHash: context.modelHash, signal },
    tokenizer: await context.tokenizer(),
    replace: true,
    onLog: (level, message) => events.log(level, message),
    onResume: (step) => events.log('info', `Going on after step ${step} of ${stage.steps}.`),
    beforeSave: () => events.flush(),
    onStep: (metrics) => {
      meter ??= new ProgressMeter(stage.steps, metrics.step - 1);
      const detail = describeStep(metrics);
      events.emit({ type: 'progress', stage: index, unit: 'steps', detail, ...meter.read(metrics.step) });
      emitMetrics(context, index, metrics);
    },
    evaluate: (model, step) => evaluateDuringTraining(context, index, stage, model, step),
  });
  const report = await writeWholeFile(path.join(request.outputDir, `stage-${index}-report.json`), `${JSON.stringify(summary, null, 2)}\n`);
  for (const saved of [checkpoint, ...(best ? [best] : [])]) {
    const { sha256, sizeBytes } = saved;
    events.emit({ type: 'artifact', stage: index, artifact: { kind: 'checkpoint', path: path.basename(saved.dir), sha256, sizeBytes } });
  }
  events.emit({
    type: 'artifact',
    stage: index,
    artifact: { kind: 'training-report', path: path.basename(report.path), sha256: report.sha256, sizeBytes: report.sizeBytes },
  });
  context.continueFrom(dir);
  return summary;
}

function emitMetrics({ events }: RunContext, stage: number, metrics: StepMetrics): void {
  const { step, loss, learningRate, gradientNorm, tokensPerSecond, more } = metrics;
  const gpu = activeGpu();
  const figures = {
    loss,
    'learning-rate': learningRate,
    'gradient-norm': gradientNorm,
    'tokens-per-second': tokensPerSecond,
    'memory-bytes': process.memoryUsage.rss(),
    ...(gpu ? { 'gpu-memory-bytes': gpu.memory.usedBytes } : {}),
    ...more,
  };
  for (const [name, value] of Object.entries(figures)) events.emit({ type: 'metric', stage, name, step, value });
}

/** On the study's benchmarks, with its sampling. */
async function evaluateDuringTraining(
  context: RunContext,
  index: number,
  { evaluation }: TrainStage,
  model: LanguageModel,
  step: number,
): Promise<number> {
  const { events, request, signal } = context;
  const study = request.recipe.stages.find((stage): stage is EvaluateStage => stage.type === 'evaluate');
  if (!study || !evaluation) throw new Error('there is nothing to evaluate on while training');
  const { protocol, benchmarks } = study;
  const accuracy = await accuracyOf(model, {
    ...{ protocol, benchmarks, problems: evaluation.problems, signal },
    tokenizer: await context.tokenizer(),
    onLog: (message) => events.log('warning', message),
  });
  events.emit({ type: 'metric', stage: index, name: 'accuracy', step, value: accuracy });
  return accuracy;
}
