/**
 * Where training starts from unless told otherwise: the papers' settings by what is learnt and how the model was quantized, and small ones for
 * models of a few million parameters, which learn at higher rates. Pure.
 */
import type { QuantizationMethod } from './recipe.ts';
import { type Objective, objectiveSchema, type TrainStage, type Trains, trainStageSchema, trainsSchema } from './training.ts';

/** What is learnt, as people say it; the three RL algorithms are settings of one objective. */
export const objectiveChoices = ['sft', 'kd', 'grpo', 'dr-grpo', 'rloo'] as const;
export type ObjectiveChoice = (typeof objectiveChoices)[number];

export interface TrainingStart {
  objective: ObjectiveChoice;
  trains: Trains['kind'];
  /** How the model was quantized before; null when it was not. */
  method: QuantizationMethod | null;
  /** A train stage comes before this one: RL goes on from SFT or KD. */
  isTrained?: boolean;
  /** Of the model; null when it is not known yet. */
  parameters: number | null;
  dataPath: string;
}

/** Up to this many parameters a model counts as small. */
const smallParameters = 20e6;

/** Which of the choices an objective is. */
export function objectiveChoiceOf(objective: Objective): ObjectiveChoice {
  if (objective.kind !== 'rl') return objective.kind;
  if (objective.advantage === 'rloo') return 'rloo';
  return objective.scaleRewards === 'none' ? 'dr-grpo' : 'grpo';
}

/** Settings that make an RL objective one of the three algorithms; nothing for the others. */
export function rlVariant(choice: ObjectiveChoice) {
  if (choice === 'rloo') return { advantage: 'rloo', scaleRewards: 'none', lossType: 'dr-grpo' } as const;
  if (choice === 'dr-grpo') return { advantage: 'group-mean', scaleRewards: 'none', lossType: 'dr-grpo' } as const;
  return { advantage: 'group-mean', scaleRewards: 'group', lossType: 'grpo' } as const;
}

/** A whole train stage, valid wherever the chain is. */
export function usualTrainStage(start: TrainingStart): TrainStage {
  const { objective, trains, method, dataPath } = start;
  const isSmall = (start.parameters ?? Number.POSITIVE_INFINITY) <= smallParameters;
  const isRl = objective !== 'sft' && objective !== 'kd';
  const size = isRl ? rlSizes(isSmall) : sizes(isSmall);
  const stage = trainStageSchema.parse({
    type: 'train',
    objective: usualObjective(objective, isSmall),
    trains: usualTrains(trains, method),
    // A file still to be chosen leaves the path empty.
    data: { path: dataPath || '-', maxTokens: isSmall ? 512 : isRl ? 2048 : 8192 },
    ...size,
    optimizer: {
      learningRate: isRl ? rlRate(start, isSmall) : rate(start, isSmall),
      schedule: 'cosine',
      warmupSteps: isRl ? Math.min(8, size.steps - 1) : Math.round(size.steps * 0.03),
    },
    activationCheckpointing: !isSmall,
  });
  return { ...stage, data: { ...stage.data, path: dataPath } };
}

function usualObjective(choice: ObjectiveChoice, isSmall: boolean): Objective {
  if (choice === 'sft' || choice === 'kd') return objectiveSchema.parse({ kind: choice });
  const sampling = isSmall ? { promptsPerStep: 8, maxNewTokens: 256 } : { promptsPerStep: 64, maxNewTokens: 4096 };
  return objectiveSchema.parse({ kind: 'rl', ...rlVariant(choice), ...sampling, reward: { format: 0, correct: 1 } });
}

/** The scheme of weights that were never quantized is the user's choice; 3 bits in groups of 128 is the papers' first question. */
export function usualTrains(kind: Trains['kind'], method: QuantizationMethod | null): Trains {
  const scheme = { bits: 3, symmetric: true, strategy: 'group', groupSize: 128 };
  return trainsSchema.parse(kind === 'quantized' && method === null ? { kind, scheme } : { kind });
}

function sizes(isSmall: boolean) {
  return isSmall
    ? { steps: 400, batchSize: 16, accumulation: 1, checkpointEvery: 50 }
    : { steps: 6000, batchSize: 8, accumulation: 4, checkpointEvery: 100 };
}

function rlSizes(isSmall: boolean) {
  return isSmall ? { steps: 50, batchSize: 16, checkpointEvery: 10 } : { steps: 250, batchSize: 4, checkpointEvery: 10 };
}

/** Paper B: 2e-5 from round to nearest, 1e-6 from GPTQ and FlatQuant. LoRA learns at 1e-4. */
function rate({ trains, method }: TrainingStart, isSmall: boolean): number {
  if (trains === 'lora') return isSmall ? 1e-3 : 1e-4;
  const isCompensated = method !== null && method !== 'rtn';
  return isSmall ? (isCompensated ? 3e-4 : 1e-3) : isCompensated ? 1e-6 : 2e-5;
}

/** Paper B goes on from KD at 5e-7; paper A begins RL at 1e-6, with LoRA at 1e-4. */
function rlRate({ trains, isTrained }: TrainingStart, isSmall: boolean): number {
  if (trains === 'lora') return isSmall ? 5e-4 : 1e-4;
  return isSmall ? 2e-5 : isTrained ? 5e-7 : 1e-6;
}
