/** Stages of the findings' studies on the sample model: the papers' settings with sizes, rates and lengths that suit a model of a million weights. */
import { type QuantizationMethod, type QuantizeStage, quantizeStageSchema } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { type Objective, type TrainStage, type TrainsInput, trainStageSchema } from '#contract/training.ts';

export const largeModel = 'sample:abacus';
export const smallModel = 'sample:abacus-small';
export const problemsData = 'sample:training/abacus.jsonl';
export const generalData = 'sample:training/general.jsonl';
const calibrationFiles = { problems: 'sample:calibration/abacus.jsonl', general: 'sample:calibration/general.jsonl' };

/** How much is trained; `quick` says whether everything works, never whether a claim holds. */
export interface Effort {
  supervisedSteps: number;
  rlSteps: number;
  calibrationSamples: number;
}

/** Every run ends in minutes, so that a paper's study with three seeds ends within two hours on two cores; A has more of RL. */
export const fullEffort: Record<'a' | 'b', Effort> = {
  a: { supervisedSteps: 0, rlSteps: 60, calibrationSamples: 128 },
  b: { supervisedSteps: 300, rlSteps: 80, calibrationSamples: 128 },
};
export const quickEffort: Effort = { supervisedSteps: 4, rlSteps: 3, calibrationSamples: 8 };

export function quantize(
  method: QuantizationMethod,
  scheme: string,
  effort: Effort,
  { domain = 'problems', options = {} }: { domain?: 'problems' | 'general'; options?: object } = {},
): QuantizeStage {
  const calibrated = method !== 'rtn' && method !== 'nf4' && method !== 'int8';
  const calibration = { path: calibrationFiles[domain], samples: effort.calibrationSamples, sequenceLength: 128, seed: 0 };
  return quantizeStageSchema.parse({
    ...{ type: 'quantize', method, scheme: parseScheme(scheme), options },
    ...(calibrated ? { calibration } : {}),
  });
}

/**
 * Peak rates of supervised training, the better ones of 3e-4 and 1e-3 with one seed: at W2G32 in the mean of SFT and KD from both starts, and for
 * FlatQuant at W4A4KV4, whose transforms and clip factors have rates of their own.
 */
const supervisedRate = 1e-3;
const flatQuantRate = 3e-4;

/** Supervised training or distillation: cosine after a warm-up of 3 %, as in the paper's Table 6. */
export function supervised(
  kind: 'sft' | 'kd',
  trains: TrainsInput,
  effort: Effort,
  { data = problemsData }: { data?: string } = {},
): TrainStage {
  return trainStageSchema.parse({
    ...{ type: 'train', objective: { kind }, trains, data: { path: data } },
    ...{ steps: effort.supervisedSteps, batchSize: 16, checkpointEvery: 100 },
    optimizer: {
      learningRate: trains.kind === 'flatquant' ? flatQuantRate : supervisedRate,
      schedule: 'cosine',
      warmupSteps: Math.floor(0.03 * effort.supervisedSteps),
    },
  });
}

/** RL moves full weights slowly; the factors of LoRA, whose product counts, take larger steps. */
const rlRate = 5e-5;
export const loraRlRate = 2e-4;

export interface RlOptions {
  learningRate?: number;
  objective?: Partial<Extract<Objective, { kind: 'rl' }>>;
}

/** GRPO on problems of the training split: groups of 8, temperature 1, correctness with the paper's format bonus. */
export function reinforce(trains: TrainsInput, effort: Effort, options: RlOptions = {}): TrainStage {
  const { learningRate = rlRate, objective = {} } = options;
  return trainStageSchema.parse({
    ...{ type: 'train', trains, data: { path: problemsData } },
    objective: { kind: 'rl', promptsPerStep: 16, groupSize: 8, maxNewTokens: 256, ...objective },
    ...{ steps: effort.rlSteps, batchSize: 64, checkpointEvery: 20 },
    optimizer: { learningRate, schedule: 'linear', warmupSteps: 1 },
  });
}
