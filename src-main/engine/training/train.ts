/** Trains all weights of a float model on sequences of text: what the sample model is made with. */
import type { LanguageModel } from '../model/language-model.ts';
import { BatchOrder } from './batch-order.ts';
import type { TrainingProgress } from './checkpoint.ts';
import type { TrainingData } from './examples.ts';
import { runTraining, type StepMetrics } from './loop.ts';
import { checkTrainingSettings, type TrainingSettings } from './settings.ts';
import { SftTask } from './tasks/sft.ts';
import { WeightsTrainee } from './trainees/weights.ts';

export interface TrainOptions {
  /** Folder of the checkpoint; a run found there is continued. Without it nothing is written. */
  checkpointDir?: string;
  signal?: AbortSignal;
  /** Called after every optimizer step. */
  onStep?(metrics: StepMetrics): void;
}

/**
 * Trains all parameters of a dense model in place. A cancelled run writes a checkpoint first and then throws `cancelled`.
 * Throws `recipe-invalid` on bad settings and `numeric` when the loss is no longer finite.
 * @returns the progress at the end, equal for continued and undisturbed runs
 */
export async function train(
  model: LanguageModel,
  data: TrainingData,
  settings: TrainingSettings,
  options: TrainOptions = {},
): Promise<TrainingProgress> {
  checkTrainingSettings(settings);
  const trainee = new WeightsTrainee(model, { ownsModel: false });
  const { accumulation } = settings;
  const task = new SftTask({ order: new BatchOrder(data, settings), accumulation, padTokenId: model.config.padTokenId ?? 0 });
  return await runTraining(trainee, task, settings, { ...options, resumeKey: { ...settings, checkpointEvery: undefined } });
}
