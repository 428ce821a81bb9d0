/** The train stage: trains the model as the stages before left it, reports every step, and goes on from what was saved. */
import path from 'node:path';
import type { EvaluateStage } from '#contract/recipe.ts';
import type { TrainStage } from '#contract/training.ts';
import type { TrainSummary } from '#contract/worker.ts';
import { evaluateModel } from '../engine/benchmarks/evaluate.ts';
import { writeWholeFile } from '../engine/formats/atomic-file.ts';
import type { LanguageModel } from '../engine/model/language-model.ts';
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
  const { checkpoint, summary } = await trainCheckpoint({
    ...{ sourceDir, baseDir: request.modelDir, outDir: dir, stage, seed: request.seed, modelHash: context.modelHash, signal },
    tokenizer: await context.tokenizer(),
    replace: true,
    onLog: (level, message) => events.log(level, message),
    onStep: (metrics) => {
      meter ??= new ProgressMeter(stage.steps, metrics.step - 1);
      const detail = `loss ${metrics.loss.toPrecision(4)}, ${Math.round(metrics.tokensPerSecond)} tokens/s`;
      events.emit({ type: 'progress', stage: index, unit: 'steps', detail, ...meter.read(metrics.step) });
      emitMetrics(context, index, metrics);
    },
    evaluate: (model, step) => evaluateDuringTraining(context, index, stage, model, step),
  });
  const report = await writeWholeFile(path.join(request.outputDir, `stage-${index}-report.json`), `${JSON.stringify(summary, null, 2)}\n`);
  const { sha256, sizeBytes } = checkpoint;
  events.emit({ type: 'artifact', stage: index, artifact: { kind: 'checkpoint', path: path.basename(dir), sha256, sizeBytes } });
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
  const figures = {
    loss,
    'learning-rate': learningRate,
    'gradient-norm': gradientNorm,
    'tokens-per-second': tokensPerSecond,
    'memory-bytes': process.memoryUsage.rss(),
    ...more,
  };
  for (const [name, value] of Object.entries(figures)) events.emit({ type: 'metric', stage, name, step, value });
}

/** Mean accuracy on the first problems of the study's benchmarks, one completion each, with the study's sampling. */
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
  const protocol = { ...study.protocol, seeds: study.protocol.seeds.slice(0, 1), problemsPerBenchmark: evaluation.problems };
  let correct = 0;
  let total = 0;
  await evaluateModel(
    { model, tokenizer: await context.tokenizer(), protocol, benchmarks: study.benchmarks },
    {
      recordedSamples: [],
      signal,
      onLog: (message) => events.log('warning', message),
      onSample: ({ verdict }) => {
        total++;
        if (verdict === 'correct') correct++;
      },
      onProgress: () => {},
    },
  );
  events.emit({ type: 'metric', stage: index, name: 'accuracy', step, value: correct / total });
  return correct / total;
}
