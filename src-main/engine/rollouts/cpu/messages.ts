/** What the CPU decode engine and its threads say to each other. Requests are claimed and progress is counted in shared memory instead. */
import type { ErrorInfo } from '#contract/errors.ts';
import type { FinishedSequence, QueuedRequest } from '../batch.ts';
import type { SamplingSettings } from '../settings.ts';
import type { DecodePlan } from './plan.ts';
import type { SharedMemory } from './shared-memory.ts';
import type { DecodeSessions } from './weights.ts';

/** What a thread is started with. */
export interface LaneSetup {
  plan: DecodePlan;
  lane: number;
  memory: SharedMemory;
}

/** Session pointers are valid in the whole process; they change when the generator takes other weights. `dropped` lies in shared memory. */
export type LaneCommand =
  | { type: 'run'; requests: QueuedRequest[]; settings: SamplingSettings; sessions: DecodeSessions; dropped: Int32Array | null }
  | { type: 'close' };

/** `idle` ends every run, whether it completed, was stopped or failed. */
export type LaneEvent = { type: 'finished'; sequence: FinishedSequence } | { type: 'failed'; error: ErrorInfo } | { type: 'idle' };
