/** The settings Abacus was trained with. */
import type { TrainingSettings } from '../training/index.ts';

export const abacusTrainingSettings: TrainingSettings = {
  steps: 4800,
  batchSize: 12,
  accumulation: 2,
  // Two batches of a step share its 24 sequences, sorted by length: little padding, and every step sees the whole mixture.
  batchesPerWindow: 2,
  schedule: { kind: 'cosine', peak: 2e-3, warmupSteps: 100, floorShare: 0.02 },
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.05,
  maxGradientNorm: 1,
  seed: 1,
  checkpointEvery: 200,
};
