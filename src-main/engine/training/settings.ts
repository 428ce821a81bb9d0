/**
 * Everything that decides a training run besides the model and the data.
 */
import { RoundoffError } from '#contract/errors.ts';
import { type LearningRateSchedule, scheduleKinds } from './schedule.ts';

export interface TrainingSettings {
  /** Optimizer steps. */
  steps: number;
  /** Sequences per optimizer step and micro-batch: `batchSize × accumulation` sequences make one step. */
  batchSize: number;
  accumulation: number;
  /** Batches among which sequences are sorted by length. */
  batchesPerWindow: number;
  schedule: LearningRateSchedule;
  beta1: number;
  beta2: number;
  epsilon: number;
  /** Decoupled decay of matrices; vectors (norms, biases) and embeddings are not decayed. */
  weightDecay: number;
  /** Largest global gradient norm; larger gradients are scaled down to it. */
  maxGradientNorm: number;
  seed: number;
  /** Steps between checkpoints; 0 writes one at the end only. */
  checkpointEvery: number;
}

/** Throws `recipe-invalid` that lists every setting out of range. */
export function checkTrainingSettings(settings: TrainingSettings): void {
  const problems: string[] = [];
  const expect = (holds: boolean, problem: string) => {
    if (!holds) problems.push(problem);
  };
  const whole = (value: number, least: number) => Number.isSafeInteger(value) && value >= least;
  expect(whole(settings.steps, 1), `steps must be a whole number from 1, not ${settings.steps}`);
  expect(whole(settings.batchSize, 1), `batchSize must be a whole number from 1, not ${settings.batchSize}`);
  expect(whole(settings.accumulation, 1), `accumulation must be a whole number from 1, not ${settings.accumulation}`);
  expect(whole(settings.batchesPerWindow, 1), `batchesPerWindow must be a whole number from 1, not ${settings.batchesPerWindow}`);
  expect(whole(settings.checkpointEvery, 0), `checkpointEvery must be a whole number from 0, not ${settings.checkpointEvery}`);
  expect(scheduleKinds.includes(settings.schedule.kind), `schedule.kind must be one of ${scheduleKinds.join(', ')}`);
  expect(settings.schedule.peak > 0, `schedule.peak must be above 0, not ${settings.schedule.peak}`);
  expect(whole(settings.schedule.warmupSteps, 0), 'schedule.warmupSteps must be a whole number from 0');
  expect(inUnit(settings.schedule.floorShare), 'schedule.floorShare must lie in [0, 1]');
  expect(inUnit(settings.beta1) && settings.beta1 < 1, `beta1 must lie in [0, 1), not ${settings.beta1}`);
  expect(inUnit(settings.beta2) && settings.beta2 < 1, `beta2 must lie in [0, 1), not ${settings.beta2}`);
  expect(settings.epsilon > 0, `epsilon must be above 0, not ${settings.epsilon}`);
  expect(settings.weightDecay >= 0, `weightDecay must not be negative, not ${settings.weightDecay}`);
  expect(settings.maxGradientNorm > 0, `maxGradientNorm must be above 0, not ${settings.maxGradientNorm}`);
  if (problems.length === 0) return;
  throw new RoundoffError('recipe-invalid', `The training settings are not valid: ${problems[0]}.`, 'Correct the settings listed.', {
    problems,
  });
}

function inUnit(value: number): boolean {
  return value >= 0 && value <= 1;
}
