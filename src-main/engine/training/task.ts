/**
 * What is learnt: a task gives the micro-batches of every step and their loss. The same seed, step and weights give the same micro-batches,
 * which is all a continued run needs.
 */
import type * as tf from '@tensorflow/tfjs-core';
import type { Trainee } from './trainee.ts';

export interface MicroBatch {
  /** int32 [batch, seq] */
  inputs: tf.Tensor2D;
  /** Of sequences packed into one row; without them each row is one sequence. */
  lengths?: readonly number[] | undefined;
  /** Tokens read, without padding. */
  tokens: number;
  /**
   * This micro-batch's share of the step's loss: the shares of a step add up to its loss. Differentiable in `hidden` and `head`; called
   * within the tape.
   * @param hidden [batch · seq, hidden]
   * @param head [vocab, hidden]
   * @param options `headGradient` false where the head does not learn: the loss then has no gradient in it
   */
  loss(hidden: tf.Tensor2D, head: tf.Tensor2D, options?: { headGradient: boolean }): tf.Scalar;
  dispose(): void;
}

export interface TrainingTask {
  /** Micro-batches of step `step` (from 0), one or more. The trainee is ready for this step. May generate, or run a teacher. */
  microBatches(step: number, trainee: Trainee, signal?: AbortSignal): Promise<MicroBatch[]>;
  /** Named figures of the step whose micro-batches were just learnt from, besides the loss: `reward-mean`, `entropy`, … */
  metrics(): Promise<Record<string, number>>;
  /** Whether a continued run may begin at `step`; false between the updates of one rollout. */
  canResumeAt(step: number): boolean;
  dispose(): void | Promise<void>;
}
