/**
 * What train stages need, looked at before anything starts: data with answers, a chain whose stages can follow each other, a teacher with the
 * model's vocabulary, examples that fit the context. Long files are judged by their first rows; training itself counts all of them.
 */

import { RoundoffError } from '#contract/errors.ts';
import type { StudySpec } from '#contract/recipe.ts';
import type { DatasetInspection, InspectionProblem, ModelInspection } from '#contract/records.ts';
import type { TrainStage } from '#contract/training.ts';
import { chainProblems, floatModel, quantizedModel } from '#contract/training-chain.ts';
import { ProblemList } from '../engine/formats/problems.ts';
import { openCheckpoint } from '../engine/formats/safetensors.ts';
import { type ModelConfig, readModelConfig } from '../engine/model/config.ts';
import { readStoredLayout } from '../engine/model/load.ts';
import { loadTokenizer, type ModelTokenizer } from '../engine/model/tokenizer.ts';
import { loadExamples, loadRlProblems } from '../engine/training/training-data.ts';
import { getVerifier } from '../engine/verifiers/index.ts';
import { inspectExamples, inspectRlProblems } from './inspect-dataset.ts';
import { resolvePath } from './resources.ts';

/** Rows whose length is looked at. */
const lookedAt = 200;

export interface TrainingInputs {
  /** By the path written in the study. */
  trainings: Map<string, DatasetInspection>;
  /** By `lengthKey`. */
  lengths: Map<string, ExampleLengths>;
}

/** Tokens of an example (of a prompt, for RL). */
export interface ExampleLengths {
  mean: number;
  longest: number;
}

export type Collect = (where: string, inspect: () => Promise<void>) => Promise<void>;

export function lengthKey(model: string, { data, objective }: TrainStage): string {
  return [model, data.path, data.maxTokens, objective.kind === 'rl' ? objective.maxNewTokens : ''].join('\u0000');
}

/** The train stages of a study, each with the variant it belongs to. */
export function trainStagesOf(spec: StudySpec): { variant: string; stage: TrainStage }[] {
  return spec.variants.flatMap(({ name, stages }) => stages.flatMap((stage) => (stage.type === 'train' ? [{ variant: name, stage }] : [])));
}

/** Data files, each once per kind of objective; findings go to `problems`. */
export async function inspectTrainingFiles(
  spec: StudySpec,
  resourcesDir: string,
  inputs: TrainingInputs & { problems: InspectionProblem[] },
  collect: Collect,
): Promise<void> {
  const seen = new Set<string>();
  for (const { stage } of trainStagesOf(spec)) {
    const { path: file } = stage.data;
    const isRl = stage.objective.kind === 'rl';
    if (seen.has(`${isRl} ${file}`)) continue;
    seen.add(`${isRl} ${file}`);
    await collect(file, async () => {
      if (stage.objective.kind === 'rl') getVerifier(stage.objective.verifier);
      const path = resolvePath(file, resourcesDir);
      const inspection = isRl ? await inspectRlProblems(path) : await inspectExamples(path);
      inputs.trainings.set(file, inspection);
      inputs.problems.push(...inspection.problems);
    });
  }
}

export interface TrainedModel {
  /** As written in the study. */
  path: string;
  dir: string;
  inspection: ModelInspection;
  config: ModelConfig;
}

/** What stands against training one model by the study's variants. */
export async function inspectTraining(
  spec: StudySpec,
  model: TrainedModel,
  resourcesDir: string,
  inputs: TrainingInputs & { problems: InspectionProblem[] },
  collect: Collect,
): Promise<void> {
  if (trainStagesOf(spec).length === 0) return;
  const start = (await isQuantized(model)) ? quantizedModel : floatModel;
  for (const { name, stages } of spec.variants)
    for (const { stage, message, hint } of chainProblems(stages, start))
      inputs.problems.push({
        severity: 'error',
        where: `${name}, stage ${stage + 1}, ${model.inspection.name}`,
        message: `${message}.`,
        hint,
      });
  const { vocabSize } = model.config;
  const tokenizer = await loadTokenizer(model.dir, { vocabSize });
  const seen = new Set<string>();
  for (const { variant, stage } of trainStagesOf(spec)) {
    const key = JSON.stringify([lengthKey(model.path, stage), stage.objective, stage.batchSize]);
    if (seen.has(key)) continue;
    seen.add(key);
    const where = `${variant}, ${model.inspection.name}`;
    await collect(where, () => inspectTeacher(stage, model, resourcesDir));
    const data = inputs.trainings.get(stage.data.path);
    if (data?.problems.every(({ severity }) => severity !== 'error'))
      await collect(where, () => inspectLengths({ stage, where, data }, model, tokenizer, resourcesDir, inputs));
  }
}

/** Whether the folder's linears are stored as codes. */
export async function isQuantized({ dir, config }: Pick<TrainedModel, 'dir' | 'config'>): Promise<boolean> {
  const checkpoint = await openCheckpoint(dir);
  try {
    return (await readStoredLayout(checkpoint, config, new ProblemList())).schemes.size > 0;
  } finally {
    await checkpoint.close();
  }
}

/** A teacher must give each of the student's tokens a probability. */
async function inspectTeacher({ objective }: TrainStage, { config, inspection }: TrainedModel, resourcesDir: string): Promise<void> {
  if (objective.kind !== 'kd' || objective.teacher === null) return;
  const dir = resolvePath(objective.teacher, resourcesDir);
  const { vocabSize } = await readModelConfig(dir);
  const hint = 'Distil from a model of the same family, or leave the teacher out to distil from the unquantized model itself.';
  if (vocabSize !== config.vocabSize)
    throw new RoundoffError(
      'bad-input',
      `The teacher ${dir} has a vocabulary of ${vocabSize} tokens, ${inspection.name} one of ${config.vocabSize}.`,
      hint,
    );
  const [teacher, student] = await Promise.all([dir, inspection.path].map((folder) => loadTokenizer(folder, { vocabSize })));
  for (let id = 0; id < vocabSize; id++)
    if (teacher!.token(id) !== student!.token(id))
      throw new RoundoffError('bad-input', `Token ${id} of the teacher ${dir} is another than that of ${inspection.name}.`, hint);
}

interface LookedAt {
  stage: TrainStage;
  where: string;
  data: DatasetInspection;
}

async function inspectLengths(
  { stage, where, data }: LookedAt,
  { path, config, inspection }: TrainedModel,
  tokenizer: ModelTokenizer,
  resourcesDir: string,
  inputs: TrainingInputs & { problems: InspectionProblem[] },
): Promise<void> {
  const warn = (message: string, hint: string) => inputs.problems.push({ severity: 'warning', where, message, hint });
  const settings = {
    ...stage.data,
    path: resolvePath(stage.data.path, resourcesDir),
    limit: Math.min(stage.data.limit ?? lookedAt, lookedAt),
  };
  const { lengths, tooLong } = await readLengths(stage, settings, config, tokenizer);
  const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
  inputs.lengths.set(lengthKey(path, stage), { mean, longest: Math.max(...lengths) });
  if (tooLong > 0)
    warn(
      `${tooLong} of the first ${lengths.length + tooLong} rows of ${data.name} are longer than training allows and are left out.`,
      `Raise maxTokens (${stage.data.maxTokens}), within the context of ${inspection.contextLength}, or leave it at that.`,
    );
  const rows = Math.min(data.rows, stage.data.limit ?? data.rows);
  const perStep = stage.objective.kind === 'rl' ? stage.objective.promptsPerStep : stage.batchSize;
  if (rows < perStep)
    warn(`${data.name} gives ${rows} rows, fewer than the ${perStep} of a batch.`, 'Lower the batch size, or choose a larger file.');
}

async function readLengths(stage: TrainStage, settings: TrainStage['data'], config: ModelConfig, tokenizer: ModelTokenizer) {
  if (stage.objective.kind === 'rl') {
    const { problems, tooLong } = await loadRlProblems(settings, stage.objective.maxNewTokens, config, tokenizer);
    return { lengths: problems.map(({ promptIds }) => promptIds.length), tooLong };
  }
  const examples = await loadExamples(settings, config, tokenizer);
  return { lengths: Array.from({ length: examples.count }, (_, index) => examples.example(index).ids.length), tooLong: examples.tooLong };
}
