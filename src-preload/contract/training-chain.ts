/**
 * How the stages of a variant follow each other: what the model is when a stage begins, which stages cannot begin there, and what the chain
 * is called. Pure, so that the wizard, the command line and a run's plan say the same before anything is started.
 */
import { methodTitle, type QuantizationMethod, type QuantizeStage, type Stage, stageScheme, stageTitle } from './recipe.ts';
import { formatScheme, type QuantizationScheme } from './scheme.ts';
import { objectiveTitle, type TrainStage, trainsTitle } from './training.ts';

/** What a model folder holds when a stage begins. */
export interface ModelState {
  /** `unknown`: quantized already when the chain begins. */
  weights: 'float' | 'integer' | 'nf4' | 'int8' | 'unknown';
  /** How it was quantized; null for a float model, and for weights that training put on a grid. */
  method: QuantizationMethod | null;
  scheme: QuantizationScheme | null;
  /** A LoRA adapter lies beside the weights. */
  adapter: boolean;
}

export interface ChainProblem {
  /** Index of the stage. */
  stage: number;
  /** Field of the stage, as in `trains.scheme`. */
  path: string;
  message: string;
  hint: string;
}

export const floatModel: ModelState = { weights: 'float', method: null, scheme: null, adapter: false };
/** A folder that was quantized by an earlier run or by another tool. */
export const quantizedModel: ModelState = { weights: 'unknown', method: null, scheme: null, adapter: false };

/** What the model is after a stage. */
export function stateAfter(state: ModelState, stage: Stage): ModelState {
  if (stage.type === 'quantize') return { ...state, weights: stage.scheme.coding ?? 'integer', method: stage.method, scheme: stage.scheme };
  if (stage.type !== 'train') return state;
  if (stage.trains.kind === 'lora') return { ...state, adapter: true };
  if (stage.trains.kind !== 'quantized') return state;
  // Training moves the weights away from what FlatQuant learnt its transforms for.
  return {
    ...state,
    weights: 'integer',
    method: state.method === 'flatquant' ? null : state.method,
    scheme: stage.trains.scheme ?? state.scheme,
  };
}

/** Stages that cannot begin with what the stages before them leave, with the remedy. */
export function chainProblems(stages: readonly Stage[], start: ModelState = floatModel): ChainProblem[] {
  const problems: ChainProblem[] = [];
  let state = start;
  for (const [index, stage] of stages.entries()) {
    const found = stage.type === 'train' ? trainProblems(stage, state) : stage.type === 'quantize' ? quantizeProblems(state) : [];
    problems.push(...found.map((problem) => ({ stage: index, ...problem })));
    state = stateAfter(state, stage);
  }
  return problems;
}

type Finding = Omit<ChainProblem, 'stage'>;

function quantizeProblems({ weights, adapter }: ModelState): Finding[] {
  if (adapter && weights === 'float') return [besideAdapter('method', 'Quantize before this training, or train all weights.')];
  if (weights === 'float' || weights === 'unknown') return [];
  const hint = 'Quantize once: before training with quantization, or after training the float weights.';
  return [{ path: 'method', message: 'the model is quantized already when this stage begins', hint }];
}

function besideAdapter(path: string, hint: string): Finding {
  return { path, message: 'a LoRA adapter lies beside the weights when this stage begins', hint };
}

function trainProblems({ trains }: TrainStage, { weights, method, scheme, adapter }: ModelState): Finding[] {
  const found = (path: string, message: string, hint: string): Finding[] => [{ path, message, hint }];
  if (adapter && trains.kind !== 'lora') return [besideAdapter('trains.kind', 'Train LoRA further, or train something else before it.')];
  if (trains.kind === 'weights') {
    if (weights === 'float') return [];
    return found(
      'trains.kind',
      'float weights cannot be trained once they are quantized',
      'Train the quantized weights (QAT) or LoRA, or begin with the unquantized model.',
    );
  }
  if (trains.kind === 'flatquant') {
    if (method === 'flatquant' || weights === 'unknown') return [];
    return found(
      'trains.kind',
      'there are no FlatQuant transforms to train',
      'Quantize by FlatQuant before this stage, without training quantized weights in between.',
    );
  }
  if (trains.kind === 'lora') return [];
  if (weights === 'nf4' || weights === 'int8')
    return found(
      'trains.kind',
      `${weights.toUpperCase()} has no gradient through its codes`,
      'Train LoRA on it, or quantize to an integer scheme.',
    );
  if (weights === 'float' && !trains.scheme)
    return found(
      'trains.scheme',
      'an unquantized model needs a scheme to train with',
      'Give a scheme, for example W3G128, or quantize first.',
    );
  if (weights === 'float' && trains.scales === 'frozen')
    return found('trains.scales', 'there are no scales to keep: the model is not quantized', 'Use live scales, or quantize first.');
  if (trains.scheme && scheme && trains.scales === 'frozen' && formatScheme(trains.scheme) !== formatScheme(scheme))
    return found(
      'trains.scheme',
      `frozen scales are those of ${formatScheme(scheme)}, not of ${formatScheme(trains.scheme)}`,
      'Leave the scheme out to keep that of the model, or use live scales.',
    );
  if (trains.perTensor && trains.scales === 'frozen')
    return found('trains.perTensor', 'a quantized model has no scale per matrix to keep', 'Use live scales.');
  return [];
}

/** `KD QAT`, `GRPO QLoRA`, `SFT`: a train stage without its scheme. */
export function trainingTitle({ objective, trains }: Pick<TrainStage, 'objective' | 'trains'>): string {
  return [objectiveTitle(objective), trainsTitle(trains)].filter(Boolean).join(' ');
}

/** Quantization and training of a recipe as a comparison names them: `gptq → KD QAT → GRPO QAT`; `none` without any. */
export function methodOfStages(stages: readonly Stage[]): string {
  const parts = stages.flatMap((stage) =>
    stage.type === 'quantize' ? [stage.method] : stage.type === 'train' ? [trainingTitle(stage)] : [],
  );
  return parts.length > 0 ? parts.join(' → ') : 'none';
}

/** Scheme of the model in the end, in words; `none` for a float model. */
export function schemeOfStages(stages: readonly Stage[]): string {
  let scheme = 'none';
  for (const stage of stages) {
    if (stage.type === 'quantize') scheme = stage.mixed ? stageScheme(stage) : formatScheme(stage.scheme);
    if (stage.type === 'train' && stage.trains.kind === 'quantized' && stage.trains.scheme) scheme = formatScheme(stage.trains.scheme);
  }
  return scheme;
}

/** `GPTQ W3G128 → KD QAT → GRPO QAT`: a scheme is named where it comes in. What exports follow is left out. */
export function chainTitle(stages: readonly Stage[]): string {
  const parts: string[] = [];
  let state = floatModel;
  for (const stage of stages) {
    const next = stateAfter(state, stage);
    const isKnown = next.scheme !== null && state.scheme !== null && formatScheme(next.scheme) === formatScheme(state.scheme);
    if (stage.type === 'train') parts.push(isKnown ? trainingTitle(stage) : stageTitle(stage));
    else if (stage.type === 'quantize') parts.push(stageTitle(stage));
    state = next;
  }
  return parts.length > 0 ? parts.join(' → ') : 'Unquantized model';
}

export function trainStages(stages: readonly Stage[]): TrainStage[] {
  return stages.filter((stage) => stage.type === 'train');
}

/** The last quantize stage before any position. */
export function lastQuantizeStage(stages: readonly Stage[]): QuantizeStage | null {
  return stages.findLast((stage) => stage.type === 'quantize') ?? null;
}

/** What the model is, in words: `GPTQ W3G128`, `float`. */
export function stateTitle({ weights, method, scheme }: ModelState): string {
  if (weights === 'float') return 'float';
  if (weights === 'unknown') return 'quantized';
  return [method && methodTitle(method), scheme && formatScheme(scheme)].filter(Boolean).join(' ');
}
