/**
 * Learning rate over the steps of a training run: a linear warm-up, then constant, linear or cosine decay to a floor.
 * Cosine after Loshchilov & Hutter, "SGDR" (2017), without restarts.
 */
export const scheduleKinds = ['constant', 'linear', 'cosine'] as const;

export interface LearningRateSchedule {
  kind: (typeof scheduleKinds)[number];
  peak: number;
  /** Steps of linear warm-up; the rate is `peak` right after them. */
  warmupSteps: number;
  /** Where the decay ends, as a share of `peak`. */
  floorShare: number;
}

/** Rate of optimizer step `step` (from 0) out of `totalSteps`. */
export function learningRateAt(schedule: LearningRateSchedule, step: number, totalSteps: number): number {
  if (step < schedule.warmupSteps) return (schedule.peak * (step + 1)) / schedule.warmupSteps;
  const progress = Math.min(1, (step - schedule.warmupSteps) / Math.max(1, totalSteps - schedule.warmupSteps));
  const remaining = { constant: 1, linear: 1 - progress, cosine: (1 + Math.cos(Math.PI * progress)) / 2 }[schedule.kind];
  return schedule.peak * (schedule.floorShare + (1 - schedule.floorShare) * remaining);
}
