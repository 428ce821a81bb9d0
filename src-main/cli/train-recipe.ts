/**
 * Runs the stages of a `train` command one after the other. Those before the last keep their checkpoints in `<out>.stages` until the last one
 * stands, and the last one's own checkpoints lie in `<out>.work`: the same command goes on from there after Ctrl-C or a kill.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import { canonicalJson } from '#contract/protocol.ts';
import { type EvaluateStage, stageScheme, stageTitle } from '#contract/recipe.ts';
import type { TrainSummary } from '#contract/worker.ts';
import { accuracyOf } from '../engine/benchmarks/accuracy-of.ts';
import { writeWholeFile } from '../engine/formats/atomic-file.ts';
import type { SavedCheckpoint } from '../engine/formats/quantized-checkpoint.ts';
import type { ModelTokenizer } from '../engine/model/tokenizer.ts';
import { quantizeCheckpoint } from '../engine/quantizers/streaming/quantize-checkpoint.ts';
import { describeStep } from '../engine/training/describe-step.ts';
import { trainCheckpoint } from '../engine/training/train-checkpoint.ts';
import { duration } from '../reports/format.ts';
import type { CliContext } from './context.ts';
import type { TrainingStages } from './train-stage-options.ts';

export interface TrainRecipeOptions {
  baseDir: string;
  modelHash: string;
  outDir: string;
  stages: TrainingStages;
  seed: number;
  tokenizer: ModelTokenizer;
  /** What stages that evaluate while they train evaluate on. */
  evaluation: Pick<EvaluateStage, 'benchmarks' | 'protocol'> | null;
}

export interface StageOutcome {
  title: string;
  checkpoint: SavedCheckpoint;
  best: SavedCheckpoint | null;
  /** Null for a stage that quantizes. */
  summary: TrainSummary | null;
  bitsPerWeight: number | null;
}

/** The outcomes of the stages made by this execution; those made before are skipped, which is noted. Throws what the stages throw. */
export async function trainRecipe(context: CliContext, options: TrainRecipeOptions): Promise<StageOutcome[]> {
  const { outDir, stages } = options;
  const stagesDir = `${outDir}.stages`;
  await keepTo(stagesDir, options);
  const outcomes: StageOutcome[] = [];
  let sourceDir = options.baseDir;
  for (const [index, stage] of stages.entries()) {
    const dir = index === stages.length - 1 ? outDir : path.join(stagesDir, `stage-${index}`);
    if (existsSync(dir)) context.progress.note(`${stageTitle(stage)} was finished before; going on from its checkpoint.`);
    else outcomes.push(await runStage(context, options, index, sourceDir, dir));
    sourceDir = dir;
  }
  await rm(stagesDir, { recursive: true, force: true });
  return outcomes;
}

/** Half-made results are continued only by the command that began them. */
async function keepTo(stagesDir: string, { stages, seed, modelHash }: TrainRecipeOptions): Promise<void> {
  const file = path.join(stagesDir, 'recipe.json');
  // Where training is cut into checkpoints may change between two executions: it changes nothing else.
  const decisive = stages.map((stage) =>
    stage.type === 'train' ? { ...stage, checkpointEvery: undefined, evaluation: undefined } : stage,
  );
  const wanted = canonicalJson({ modelHash, seed, stages: decisive });
  const known = await readFile(file, 'utf8').catch(() => null);
  if (known !== null && known !== wanted)
    throw new RoundoffError(
      'bad-input',
      `${stagesDir} holds what another recipe, seed or model began.`,
      'Repeat the command that began it, delete the folder, or give another --out.',
    );
  if (known !== null) return;
  await mkdir(stagesDir, { recursive: true });
  await writeWholeFile(file, wanted);
}

async function runStage(
  context: CliContext,
  options: TrainRecipeOptions,
  index: number,
  sourceDir: string,
  outDir: string,
): Promise<StageOutcome> {
  const { progress, signal } = context;
  const { baseDir, modelHash, seed, stages, tokenizer, evaluation } = options;
  const stage = stages[index]!;
  const title = stages.length > 1 ? `[${index + 1}/${stages.length}] ${stageTitle(stage)}` : stageTitle(stage);
  progress.update(`Loading for ${title}`);
  if (stage.type === 'quantize') {
    const scheme = stageScheme(stage);
    const result = await quantizeCheckpoint({
      ...{ sourceDir, outDir, stage, seed, modelHash, signal },
      tokenizer: async () => tokenizer,
      metadata: { method: stage.method, scheme, options: JSON.stringify(stage.options) },
      onLog: (message) => progress.note(message),
      onProgress: ({ unit, done, total, detail }) => progress.update(title, `${done} of ${total} ${unit}, ${detail}`),
    });
    return { title: stageTitle(stage), checkpoint: result.saved, best: null, summary: null, bitsPerWeight: result.bitsPerWeight };
  }
  let begun: { at: number; step: number } | null = null;
  const { checkpoint, best, summary } = await trainCheckpoint({
    ...{ sourceDir, baseDir, outDir, stage, seed, modelHash, tokenizer, signal },
    onLog: (level, message) => progress.note(level === 'warning' ? `warning: ${message}` : message),
    onResume: (step) => progress.note(`Going on after step ${step} of ${stage.steps}.`),
    onStep: (metrics) => {
      const left = begun
        ? `, ${duration(((performance.now() - begun.at) * (stage.steps - metrics.step)) / (metrics.step - begun.step))} left`
        : '';
      begun ??= { at: performance.now(), step: metrics.step };
      progress.update(title, `${metrics.step} of ${stage.steps} steps, ${describeStep(metrics)}${left}`);
    },
    ...(evaluation && stage.evaluation
      ? {
          evaluate: async (model, step) => {
            const problems = stage.evaluation!.problems;
            const accuracy = await accuracyOf(model, { ...evaluation, tokenizer, problems, signal });
            progress.note(`Accuracy after step ${step}: ${(100 * accuracy).toFixed(1)} %`);
            return accuracy;
          },
        }
      : {}),
  });
  return { title: stageTitle(stage), checkpoint, best, summary, bitsPerWeight: summary.bitsPerWeight };
}
