/**
 * Variants of a draft that train: a quantization before or after, or none, and train stages in order. What the settings of quantization
 * methods and calibration are, all variants of the draft share. Pure.
 */

import { overridesTitle } from '#contract/overrides.ts';
import { canonicalJson } from '#contract/protocol.ts';
import type { ExportFormat, QuantizationMethod, QuantizeStage, SchemeOverride, StudyVariant } from '#contract/recipe.ts';
import { formatScheme, type QuantizationScheme } from '#contract/scheme.ts';
import { type TrainStage, type Trains, trainStageSchema } from '#contract/training.ts';
import { type ChainProblem, chainProblems, chainTitle, floatModel, type ModelState, stateAfter } from '#contract/training-chain.ts';
import { type ObjectiveChoice, objectiveChoiceOf, usualTrainStage, usualTrains } from '#contract/training-defaults.ts';

export interface DraftStart {
  method: QuantizationMethod;
  scheme: QuantizationScheme;
  overrides: SchemeOverride[];
}

export interface DraftChain {
  name: string;
  /** Null trains the model as it is. */
  quantization: DraftStart | null;
  /** Whether quantization comes before training or after it. */
  placement: 'before' | 'after';
  training: TrainStage[];
  exports: ExportFormat[];
}

/** The quantize stage of a method and scheme with the draft's settings. */
export type StageMaker = (start: DraftStart) => QuantizeStage;

export function chainStages(chain: DraftChain, quantize: StageMaker): StudyVariant['stages'] {
  const quantization = chain.quantization ? [quantize(chain.quantization)] : [];
  const training = chain.training.map((stage) => structuredClone(toPlain(stage)));
  const stages = chain.placement === 'before' ? [...quantization, ...training] : [...training, ...quantization];
  return [...stages, ...chain.exports.map((format) => ({ type: 'export' as const, format }))];
}

/** Null for what is no chain: nothing is trained, or stages come in another order. Whether settings are the shared ones is not looked at. */
export function asChain(variant: StudyVariant): DraftChain | null {
  const { stages } = variant;
  const exports = stages.flatMap((stage) => (stage.type === 'export' ? [stage.format] : []));
  const made = stages.slice(0, stages.length - exports.length);
  const training = made.filter((stage) => stage.type === 'train');
  const quantizing = made.filter((stage) => stage.type === 'quantize');
  if (training.length === 0 || quantizing.length > 1 || made.length < training.length + quantizing.length) return null;
  const [quantize] = quantizing;
  const at = quantize ? made.indexOf(quantize) : 0;
  if (quantize && at !== 0 && at !== made.length - 1) return null;
  return {
    name: variant.name,
    quantization: quantize ? startOf(quantize) : null,
    placement: quantize && at > 0 ? 'after' : 'before',
    training: structuredClone(training),
    exports,
  };
}

export function startOf({ method, scheme, overrides = [] }: Pick<QuantizeStage, 'method' | 'scheme' | 'overrides'>): DraftStart {
  return {
    method,
    scheme: { ...scheme },
    overrides: overrides.map(({ pattern, scheme: other }) => ({ pattern, scheme: other && { ...other } })),
  };
}

/** What a start is told apart by. */
export function startKey(start: DraftStart | null): string {
  if (!start) return '';
  return canonicalJson([start.method, formatScheme(start.scheme), overridesTitle(start.overrides)]);
}

export function ownTitle(chain: DraftChain, quantize: StageMaker): string {
  const title = chainTitle(chainStages({ ...chain, exports: [] }, quantize));
  const rules = overridesTitle(chain.quantization?.overrides ?? []);
  return rules === '' ? title : `${title}, ${rules}`;
}

/** What the model is when the train stage at `index` of the chain begins. */
export function stateBefore(chain: DraftChain, index: number, quantize: StageMaker): ModelState {
  const before = chain.placement === 'before' && chain.quantization ? [quantize(chain.quantization)] : [];
  return [...before, ...chain.training.slice(0, index)].reduce(stateAfter, floatModel);
}

export interface StageIssue {
  /** Index among the chain's train stages; −1 for its quantization. */
  stage: number;
  /** Field, as in `optimizer.learningRate`. */
  path: string;
  message: string;
}

/** Everything wrong with a chain: values out of range, contradictions within a stage, stages that cannot follow each other. */
export function chainIssues(chain: DraftChain, quantize: StageMaker): StageIssue[] {
  const own = chain.training.flatMap((stage, index) => stageIssues(stage).map((issue) => ({ stage: index, ...issue })));
  const offset = chain.placement === 'before' && chain.quantization ? 1 : 0;
  const between = chainProblems(chainStages(chain, quantize)).map(({ stage, path, message }: ChainProblem) => {
    const index = stage - offset;
    return { stage: index < chain.training.length ? index : -1, path, message };
  });
  return [...own, ...between];
}

function stageIssues(stage: TrainStage): { path: string; message: string }[] {
  const parsed = trainStageSchema.safeParse(toPlain(stage));
  const issues = parsed.success
    ? []
    : parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message: inWords(message) }));
  if (stage.data.path.trim() === '')
    return [{ path: 'data.path', message: 'choose a file' }, ...issues.filter(({ path }) => path !== 'data.path')];
  return issues;
}

function inWords(message: string): string {
  return message
    .replace(/^Too small: expected \w+ to be >(=?)\s*/, (_, equal: string) => (equal ? 'must be at least ' : 'must be above '))
    .replace(/^Too big: expected \w+ to be <(=?)\s*/, (_, equal: string) => (equal ? 'must be at most ' : 'must be below '))
    .replace(/^Invalid input: expected (number|int), received .*/, 'must be a number');
}

/** A stage to add at the end of a chain, which goes on from what is there: its data, and what it trains. */
export function nextStage(
  chain: DraftChain,
  quantize: StageMaker,
  { parameters, dataPath }: { parameters: number | null; dataPath: string },
): TrainStage {
  const last = chain.training.at(-1);
  const state = stateBefore(chain, chain.training.length, quantize);
  const trains = last?.trains.kind ?? (state.weights === 'float' ? 'weights' : usualKind(state));
  return usualTrainStage({
    objective: last ? 'grpo' : state.weights === 'float' ? 'sft' : 'kd',
    trains,
    method: state.method,
    isTrained: last !== undefined,
    parameters,
    dataPath: last?.data.path ?? dataPath,
  });
}

function usualKind({ weights, method }: ModelState): Trains['kind'] {
  if (weights === 'nf4' || weights === 'int8') return 'lora';
  return method === 'flatquant' ? 'flatquant' : 'quantized';
}

/** The stage with another objective or another thing trained: sizes and rates start anew, data and what still applies stay. */
export function changedStage(
  stage: TrainStage,
  change: { objective?: ObjectiveChoice; trains?: Trains['kind'] },
  { state, parameters, isTrained }: { state: ModelState; parameters: number | null; isTrained: boolean },
): TrainStage {
  const objective = change.objective ?? objectiveChoiceOf(stage.objective);
  const trains = change.trains ?? stage.trains.kind;
  const method = state.weights === 'float' ? null : (state.method ?? 'rtn');
  const usual = usualTrainStage({ objective, trains, method, isTrained, parameters, dataPath: stage.data.path });
  const kept = toPlain(stage);
  return {
    ...usual,
    data: {
      ...usual.data,
      path: kept.data.path,
      limit: kept.data.limit,
      promptTemplate: kept.data.promptTemplate,
      ...(kept.data.domain ? { domain: kept.data.domain } : {}),
    },
    trains: change.trains ? usualTrains(trains, method) : kept.trains,
    objective: change.objective ? usual.objective : kept.objective,
    evaluation: kept.evaluation,
  };
}

/** A copy without the proxies that a store puts around its parts. */
function toPlain<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}
