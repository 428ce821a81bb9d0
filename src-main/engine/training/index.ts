/** Training: what is learnt (tasks), what is trained (trainees), and the loop with its checkpoints. */
export { BatchOrder } from './batch-order.ts';
export type { TrainingProgress } from './checkpoint.ts';
export type { TrainingData, TrainingExample } from './examples.ts';
export { packBatch } from './examples.ts';
export { type LoopOptions, type LoopSettings, lossAndGradients, runTraining, type StepMetrics } from './loop.ts';
export { type LearningRateSchedule, learningRateAt, scheduleKinds } from './schedule.ts';
export { checkTrainingSettings, type TrainingSettings } from './settings.ts';
export type { MicroBatch, TrainingTask } from './task.ts';
export { type TrainOptions, train } from './train.ts';
export type { TrainableParameter, Trainee } from './trainee.ts';
export { WeightsTrainee } from './trainees/weights.ts';
