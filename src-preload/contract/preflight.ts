/**
 * A study tried before it runs: the stages of its runs are really executed for a while, each kind once, and what they took says what the
 * study will take.
 */

import type { Stage } from './recipe.ts';
import type { InspectionProblem } from './records.ts';
import type { BackendName, BackendPreference } from './worker.ts';

/** What a trial's process is told; paths are absolute. */
export interface TrialRequest {
  modelDir: string;
  stages: Stage[];
  seed: number;
  backend: BackendPreference;
  /** For checkpoints; whoever asks throws it away. */
  scratchDir: string;
}

/** What a stage will take, from what its beginning took. */
export interface StagePrediction {
  stage: number;
  title: string;
  /** Of the whole stage. */
  elapsedMs: number;
  /** How long it was tried; the stage is finished when `isWhole`. */
  triedMs: number;
  isWhole: boolean;
  /** Largest resident memory of the process. */
  peakMemoryBytes: number;
  /** Generated, where the stage generates. */
  tokensPerSecond: number | null;
  /** What was executed and how the rest follows from it. */
  basis: string;
}

export interface TrialOutcome {
  backend: BackendName;
  device: string;
  /** From the start of the process to its first stage. */
  openMs: number;
  stages: StagePrediction[];
}

/** What a trial's process says, a line of JSON each. */
export type TrialMessage =
  | { type: 'progress'; title: string; detail: string }
  | { type: 'outcome'; outcome: TrialOutcome }
  | { type: 'failed'; error: import('./errors.ts').ErrorInfo };

/** Runs that do the same kind of work. */
export interface TrialRow extends TrialOutcome {
  model: string;
  /** The run that was tried. */
  name: string;
  /** How many runs of the study are like it. */
  runs: number;
  /** One such run, alone. */
  elapsedMs: number;
  peakMemoryBytes: number;
}

export interface StudyTrial {
  rows: TrialRow[];
  /** All runs one after the other; what they share is counted once. */
  elapsedMs: number;
  peakMemoryBytes: number;
  /** What a process may use on this machine. */
  usableMemoryBytes: number;
  triedMs: number;
  problems: InspectionProblem[];
}

export interface TrialProgress {
  done: number;
  total: number;
  /** The run that is being tried. */
  name: string;
  detail: string;
}
