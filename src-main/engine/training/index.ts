/** Training: data order, masked loss, AdamW with a schedule, checkpoints and continuation. */
export { BatchOrder } from './batch-order.ts';
export type { TrainingProgress } from './checkpoint.ts';
export type { TrainingData, TrainingExample } from './examples.ts';
export { packBatch } from './examples.ts';
export { batchLoss, lossAndGradients } from './gradients.ts';
export { type LearningRateSchedule, learningRateAt, scheduleKinds } from './schedule.ts';
export { checkTrainingSettings, type TrainingSettings } from './settings.ts';
export { type StepMetrics, type TrainOptions, train } from './train.ts';
