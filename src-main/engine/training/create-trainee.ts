/** The trainee of a train stage, from the model folder the stage starts from. */
import { basename } from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import type { TrainStage, Trains, TrainsOf } from '#contract/training.ts';
import { loadModel } from '../model/load.ts';
import { saveFloatModel } from './save-float-model.ts';
import { readTrainingStart, type TrainingStart } from './start.ts';
import type { Trainee } from './trainee.ts';
import { createFlatquantTrainee } from './trainees/create-flatquant.ts';
import { createQuantizedTrainee } from './trainees/create-quantized.ts';
import { createLoraTrainee } from './trainees/lora.ts';
import { WeightsTrainee } from './trainees/weights.ts';

export interface TraineeSource {
  /** The model as the stages before have left it. */
  modelDir: string;
  /** The run's own, unquantized model. */
  baseDir: string;
  stage: TrainStage;
  seed: number;
  signal?: AbortSignal;
}

/** Throws `unsupported` or `bad-input`, saying what this start cannot be trained as, and the errors of `loadModel`. */
export async function createTrainee(source: TraineeSource): Promise<Trainee> {
  const start = await readTrainingStart(source.modelDir);
  const { baseDir, stage, seed, signal } = source;
  const common = { start, ...(signal ? { signal } : {}) };
  if (trains(stage, 'quantized')) return createQuantizedTrainee({ ...common, stage, baseDir });
  if (trains(stage, 'lora')) return createLoraTrainee({ ...common, stage, seed });
  if (trains(stage, 'flatquant')) return createFlatquantTrainee({ ...common, stage, baseDir });
  return createWeightsTrainee(source, start);
}

async function createWeightsTrainee({ modelDir, stage, signal }: TraineeSource, start: TrainingStart): Promise<Trainee> {
  refuseQuantized(start);
  const model = await loadModel(modelDir, signal ? { signal } : {});
  const { activationCheckpointing } = stage;
  return new WeightsTrainee(model, {
    ...{ ownsModel: true, activationCheckpointing },
    save: (dir, options) => saveFloatModel(dir, modelDir, model, options),
  });
}

function refuseQuantized({ dir, schemes, adapter, hasTransforms }: TrainingStart): void {
  const [first] = schemes;
  if (first) {
    const isNf4 = first[1].coding === 'nf4';
    const fitting = isNf4 ? '"lora"' : hasTransforms ? '"flatquant", "quantized" or "lora"' : '"quantized" or "lora"';
    throw new RoundoffError(
      'unsupported',
      `The model in ${basename(dir)} is quantized (${first[0]} and ${schemes.size - 1} more linears), so its weights cannot be trained as they are.`,
      `Choose trains.kind ${fitting}, or start from the unquantized model.`,
    );
  }
  if (adapter)
    throw new RoundoffError(
      'unsupported',
      `The model in ${basename(dir)} has a LoRA adapter beside its weights.`,
      'Choose trains.kind "lora" to train the adapter further, or export the model as "dequantized" first, which merges it.',
    );
}

function trains<K extends Trains['kind']>(stage: TrainStage, kind: K): stage is TrainStage & { trains: TrainsOf<K> } {
  return stage.trains.kind === kind;
}
