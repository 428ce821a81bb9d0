/** Supervised fine-tuning: mean cross-entropy over the step's response tokens, each of which weighs the same. */
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { linearCrossEntropy } from '../../ops/index.ts';
import type { BatchOrder } from '../batch-order.ts';
import { countTargets, disposeBatch, packBatch, packRow, type TrainingBatch, type TrainingExample } from '../examples.ts';
import type { MicroBatch, TrainingTask } from '../task.ts';

export interface ExampleTaskOptions {
  order: BatchOrder;
  /** Micro-batches per step. */
  accumulation: number;
  padTokenId: number;
  /** Sequences of a micro-batch lie in one row instead of rows of their own with padding. */
  packs?: boolean;
}

/** The micro-batches of a step as tensors, each with its share of the step's targets; without those that have none. */
export function packStep(
  { order, accumulation, padTokenId, packs = false }: ExampleTaskOptions,
  step: number,
): { batch: TrainingBatch; examples: TrainingExample[]; share: number }[] {
  const micro = Array.from({ length: accumulation }, (_, index) => order.batch(step * accumulation + index));
  const targets = micro.map(countTargets);
  const all = targets.reduce((sum, count) => sum + count, 0);
  if (all === 0)
    throw new RoundoffError(
      'dataset-invalid',
      'No token of the batch counts in the loss.',
      'Give every example at least one response token.',
    );
  return micro.flatMap((examples, index) =>
    targets[index] === 0
      ? []
      : [{ batch: packs ? packRow(examples) : packBatch(examples, padTokenId), examples, share: targets[index]! / all }],
  );
}

export class SftTask implements TrainingTask {
  private readonly options: ExampleTaskOptions;

  constructor(options: ExampleTaskOptions) {
    this.options = options;
  }

  async microBatches(step: number): Promise<MicroBatch[]> {
    return packStep(this.options, step).map(({ batch, share }) => ({
      inputs: batch.inputs,
      lengths: batch.lengths,
      tokens: batch.tokens,
      loss: (hidden, head, options) =>
        tf.mul(linearCrossEntropy(hidden, head, batch.targets, { mask: batch.mask, ...options }), share) as tf.Scalar,
      dispose: () => disposeBatch(batch),
    }));
  }

  async metrics(): Promise<Record<string, number>> {
    return {};
  }

  canResumeAt(): boolean {
    return true;
  }

  dispose(): void {}
}
