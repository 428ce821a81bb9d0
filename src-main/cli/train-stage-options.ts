/**
 * The stages that a `train` command line asks for: from its options or from a recipe file. Everything is checked before any work, and every
 * finding is named as it was typed.
 */
import path from 'node:path';
import type { z } from 'zod';
import { RoundoffError } from '#contract/errors.ts';
import { canonicalJson } from '#contract/protocol.ts';
import { type QuantizeStage, recipeSchema } from '#contract/recipe.ts';
import { type TrainStage, trainStageSchema } from '#contract/training.ts';
import { chainProblems, type ModelState } from '#contract/training-chain.ts';
import { rlVariant, usualTrainStage } from '#contract/training-defaults.ts';
import { readJsonObject } from '../engine/data/json-file.ts';
import { anchorStage, resolveRecipe } from '../runs/resources.ts';
import { userPath } from './options.ts';
import { longOf, nameOf, switchValues, type TrainFlag, type TrainFlags, typed } from './train-flags.ts';

export type TrainingStages = (QuantizeStage | TrainStage)[];

interface Finding {
  message: string;
  hint: string;
}

export interface TrainTarget {
  resourcesDir: string;
  /** Parameters of the model, which decide where defaults start. */
  parameters: number;
  /** What the model folder holds. */
  start: ModelState;
}

/** Throws `bad-input` that lists everything wrong with the options, `recipe-invalid` for a recipe, `not-found` for its file. */
export async function trainingStages(flags: TrainFlags, target: TrainTarget): Promise<TrainingStages> {
  const stages = flags.recipe === undefined ? [stageFromFlags(flags, target)] : await readRecipe(flags, target);
  const problems = chainProblems(stages, target.start);
  refuse(problems.map(({ stage, message, hint }) => ({ message: `${stages.length > 1 ? `Stage ${stage + 1}: ` : ''}${message}.`, hint })));
  return stages;
}

function stageFromFlags(flags: TrainFlags, { resourcesDir, parameters, start }: TrainTarget): TrainStage {
  const { objective, data } = flags;
  const trains = flags.trains ?? 'weights';
  if (!objective)
    throw new RoundoffError(
      'bad-input',
      'Nothing says what is to be learnt.',
      'Give --objective, for example --objective sft, or --recipe FILE.',
    );
  if (data === undefined)
    throw new RoundoffError(
      'bad-input',
      `--objective ${objective} needs data.`,
      'Give it with --data FILE, for example sample:training/abacus.jsonl.',
    );
  refuse(foreignOptions(flags));
  const isQuantized = start.weights !== 'float';
  const method = isQuantized ? (start.method ?? 'rtn') : null;
  const usual = usualTrainStage({ objective, trains, method, parameters, dataPath: userPath(data, resourcesDir) });
  const stage = structuredClone(usual) as unknown as Record<string, unknown>;
  if (usual.objective.kind === 'rl') Object.assign(stage.objective as object, rlVariant(objective));
  if (trains === 'quantized' && flags.scheme === undefined) delete (stage.trains as Record<string, unknown>).scheme;
  for (const flag of typed(flags)) place(stage, flag.path.split('.'), valueGiven(flag, flags, resourcesDir));
  if (flags.evaluateEvery !== undefined) stage.evaluation = { every: flags.evaluateEvery, problems: flags.evaluateProblems ?? 50 };
  const optimizer = stage.optimizer as TrainStage['optimizer'];
  // Fewer steps than the usual warm-up takes are asked for by --steps alone.
  if (flags.warmup === undefined) optimizer.warmupSteps = Math.min(optimizer.warmupSteps, Math.max(0, (stage.steps as number) - 1));
  const parsed = trainStageSchema.safeParse(stage);
  if (parsed.success) return parsed.data;
  refuse(parsed.error.issues.map((issue) => asTyped(issue, flags)));
  throw parsed.error;
}

function valueGiven(flag: TrainFlag, flags: TrainFlags, resourcesDir: string): unknown {
  const name = nameOf(flag);
  if (name === 'teacher') return userPath(flags.teacher as string, resourcesDir);
  return switchValues[name] ?? flags[name];
}

function foreignOptions(flags: TrainFlags): Finding[] {
  const objective = flags.objective!;
  const trains = flags.trains ?? 'weights';
  return typed(flags).flatMap((flag) => {
    const isOther = flag.objectives?.includes(objective) === false;
    if (isOther)
      return [
        {
          message: `${longOf(flag)} belongs to ${flag.objectives!.join(', ')}, not to ${objective}.`,
          hint: 'Leave it out, or choose another --objective.',
        },
      ];
    if (flag.trains?.includes(trains) === false)
      return [
        {
          message: `${longOf(flag)} belongs to --trains ${flag.trains.join(', ')}, not to ${trains}.`,
          hint: 'Leave it out, or choose what is trained with --trains.',
        },
      ];
    return [];
  });
}

/** A recipe says everything itself: options beside it would be a second opinion. */
async function readRecipe(flags: TrainFlags, { resourcesDir }: TrainTarget): Promise<TrainingStages> {
  const others = [
    ...(['objective', 'trains', 'data', 'evaluateEvery', 'evaluateProblems'] as const)
      .filter((name) => flags[name] !== undefined)
      .map((name) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`),
    ...typed(flags).map(longOf),
  ];
  refuse(
    others.map((long) => ({ message: `${long} is given beside --recipe.`, hint: 'Write it into the recipe, or leave the recipe out.' })),
  );
  const file = path.resolve(flags.recipe!);
  const json = await readJsonObject(file, { code: 'recipe-invalid', hint: 'Write a train stage, or {"name": …, "stages": […]}.' });
  const recipe = recipeSchema.safeParse(
    'stages' in json ? { name: path.basename(file), ...json } : { name: path.basename(file), stages: [json] },
  );
  if (!recipe.success)
    throw invalidRecipe(
      file,
      recipe.error.issues.map(({ path: at, message }) => `${at.join('.') || '(top)'}: ${message}`),
    );
  const anchored = recipe.data.stages.map((stage) => anchorStage(stage, path.dirname(file)));
  const { stages } = resolveRecipe({ ...recipe.data, stages: anchored }, resourcesDir);
  const other = stages.find(({ type }) => type !== 'train' && type !== 'quantize');
  if (other)
    throw invalidRecipe(file, [`a stage of type "${other.type}" does not belong here; use the command "${other.type}" or a study`]);
  if (stages.length === 0) throw invalidRecipe(file, ['it has no stages']);
  return stages as TrainingStages;
}

function invalidRecipe(file: string, problems: string[]): RoundoffError {
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  return new RoundoffError('recipe-invalid', `${file} is not a recipe to train by: ${problems[0]}${more}`, 'Correct the fields listed.', {
    problems,
  });
}

function refuse(findings: readonly Finding[]): void {
  const [first] = findings;
  if (first) throw new RoundoffError('bad-input', first.message, first.hint, { problems: findings.map(({ message }) => message) });
}

function place(target: Record<string, unknown>, [name, ...rest]: readonly string[], value: unknown): void {
  if (rest.length === 0) {
    target[name!] = value;
    return;
  }
  target[name!] ??= {};
  place(target[name!] as Record<string, unknown>, rest, value);
}

/** What is wrong with a stage in terms of the option that said so. */
function asTyped({ path: at, message }: z.core.$ZodIssue, flags: TrainFlags): Finding {
  const where = at.map(String).join('.');
  const flag = typed(flags).find((given) => where === given.path || where.startsWith(`${given.path}.`));
  const value = flag && typeof flags[nameOf(flag)] !== 'boolean' ? ` ${plain(flags[nameOf(flag)])}` : '';
  return { message: `${flag ? `${longOf(flag)}${value}` : where}: ${message}.`, hint: 'See "train --help" for what each option takes.' };
}

function plain(value: unknown): string {
  return typeof value === 'object' ? canonicalJson(value) : String(value);
}
