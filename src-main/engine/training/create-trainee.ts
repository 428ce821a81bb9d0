/** The trainee of a train stage, from the model folder the stage starts from. */
import { RoundoffError } from '#contract/errors.ts';
import type { TrainStage } from '#contract/training.ts';
import { loadModel } from '../model/load.ts';
import { saveFloatModel } from './save-float-model.ts';
import type { Trainee } from './trainee.ts';
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
  const { modelDir, stage, signal } = source;
  if (stage.trains.kind !== 'weights')
    throw new RoundoffError('unsupported', `Training of ${stage.trains.kind} is not available.`, 'Train the weights.');
  const model = await loadModel(modelDir, signal ? { signal } : {});
  return new WeightsTrainee(model, { ownsModel: true, save: (dir, options) => saveFloatModel(dir, modelDir, model, options) });
}
