/**
 * What a trainer learns from: token sequences with the part that counts in the loss, made on demand, and packed into padded batches.
 */
import * as tf from '@tensorflow/tfjs-core';

export interface TrainingExample {
  ids: ArrayLike<number>;
  /** Tokens before this index are context only: the prompt. At least 1, because the first token has nothing to predict it. */
  lossStart: number;
}

/** Examples by index; the same index always gives the same example. */
export interface TrainingData {
  readonly count: number;
  example(index: number): TrainingExample;
}

/** A padded batch: after `inputs` up to a position the model must predict that position's target wherever the mask is 1. */
export interface TrainingBatch {
  /** int32 [batch, seq] */
  inputs: tf.Tensor2D;
  /** Where each example begins among the batch · seq rows. */
  starts: number[];
  /** Of the examples in a batch packed into one row, those without tokens left out; undefined in a padded one. */
  lengths: number[] | undefined;
  /** int32 [batch · seq] */
  targets: tf.Tensor1D;
  /** [batch · seq], 1 where the target counts in the loss. */
  mask: tf.Tensor1D;
  /** Tokens read, without padding. */
  tokens: number;
}

/** Tokens of the examples that count in the loss. */
export function countTargets(examples: readonly TrainingExample[]): number {
  return examples.reduce((count, example) => count + Math.max(0, example.ids.length - Math.max(1, example.lossStart)), 0);
}

/** Where sequences of these lengths begin among the rows of a batch: one after the other, or each in a row as long as the longest. */
export function sequenceStarts(lengths: readonly number[], packs: boolean): { starts: number[]; rows: number } {
  const widths = packs ? lengths : lengths.map(() => Math.max(...lengths));
  let rows = 0;
  const starts = widths.map((width) => {
    rows += width;
    return rows - width;
  });
  return { starts, rows };
}

/** Builds the tensors of a batch; the caller disposes them. Padding follows the text, where causal attention cannot see it. */
export function packBatch(examples: readonly TrainingExample[], padTokenId: number): TrainingBatch {
  const { starts, rows } = sequenceStarts(lengthsOf(examples), false);
  return toTensors(examples, { shape: [examples.length, rows / examples.length], starts, lengths: undefined, padTokenId });
}

/** The same without padding: all examples one after the other in a single row. */
export function packRow(examples: readonly TrainingExample[]): TrainingBatch {
  const lengths = lengthsOf(examples);
  const { starts, rows } = sequenceStarts(lengths, true);
  return toTensors(examples, { shape: [1, rows], starts, lengths: lengths.filter((length) => length > 0), padTokenId: 0 });
}

/** Tokens read of each; the last one is predicted only. */
function lengthsOf(examples: readonly TrainingExample[]): number[] {
  return examples.map(({ ids }) => ids.length - 1);
}

interface Arrangement extends Pick<TrainingBatch, 'starts' | 'lengths'> {
  shape: [number, number];
  padTokenId: number;
}

function toTensors(examples: readonly TrainingExample[], { shape, starts, lengths, padTokenId }: Arrangement): TrainingBatch {
  const inputs = new Int32Array(shape[0] * shape[1]).fill(padTokenId);
  const targets = new Int32Array(inputs.length).fill(padTokenId);
  const mask = new Float32Array(inputs.length);
  let tokens = 0;
  for (const [row, { ids, lossStart }] of examples.entries()) {
    tokens += ids.length - 1;
    for (let position = 0; position < ids.length - 1; position++) {
      const at = starts[row]! + position;
      inputs[at] = ids[position]!;
      targets[at] = ids[position + 1]!;
      mask[at] = position + 1 >= lossStart ? 1 : 0;
    }
  }
  return {
    inputs: tf.tensor2d(inputs, shape, 'int32'),
    ...{ starts, lengths },
    targets: tf.tensor1d(targets, 'int32'),
    mask: tf.tensor1d(mask),
    tokens,
  };
}

export function disposeBatch(batch: TrainingBatch): void {
  tf.dispose([batch.inputs, batch.targets, batch.mask]);
}
