/**
 * Output layer and Kullback–Leibler divergence between a teacher and a student, in chunks of rows so that logits are never held for a whole
 * batch.
 */
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { hasKernel, runKernel } from '../kernel.ts';
import { withKnownGradients } from '../known-gradients.ts';
import { defaultChunkRows } from '../row-chunks.ts';
import { composedChunk } from './composed.ts';
import './wasm.ts';
import './webgpu.ts';

/** What the teacher says: its final hidden states and output layer, or its logits of k tokens per row. No gradient flows into it. */
export type Teacher =
  | {
      /** [rows, size of the teacher] */
      hidden: tf.Tensor2D;
      /** [vocab, size of the teacher] */
      head: tf.Tensor2D;
    }
  | {
      /** int32 [rows, k], different tokens of a row, each in [0, vocab) */
      indices: tf.Tensor2D;
      /** [rows, k]; their probabilities are shared out among the k, so they add up to 1. */
      logits: tf.Tensor2D;
    };

export interface LinearKlOptions {
  /** Share of each row in the loss, [rows]: mask / count for a mean. Rows of share 0 are left out. */
  shares: tf.Tensor1D;
  /** Both distributions are softmax(logits / temperature). The loss is their plain divergence: without Hinton's factor temperature². */
  temperature?: number;
  /** 0 for KL(teacher‖student), 1 for KL(student‖teacher), between them mix · the second + (1 − mix) · the first. 0 with a top-k teacher. */
  mix?: number;
  /** Rows whose logits are held at once. */
  chunkRows?: number;
  /** False where the student's output layer does not learn: no gradient of it is formed or held. True by default. */
  headGradient?: boolean;
}

/**
 * Σ share · KL over rows, a scalar in nats. The gradient in the student's logits is share · (pS − pT) / temperature with mix 0.
 * @param hidden [rows, size] of the student
 * @param head [vocab, size], the student's output layer (or tied embeddings)
 * @returns differentiable in hidden and, with `headGradient`, head. Throws `internal` when shapes do not fit, `bad-input` for tokens outside the vocabulary.
 */
export function linearKl(hidden: tf.Tensor2D, head: tf.Tensor2D, teacher: Teacher, options: LinearKlOptions): tf.Scalar {
  const { shares, temperature = 1, mix = 0, headGradient = true } = options;
  checkShapes(hidden, head, teacher, shares, mix);
  const chunkRows = Math.max(1, options.chunkRows ?? defaultChunkRows(head.shape[0]));
  return withKnownGradients(headGradient ? [hidden, head] : [hidden], () => {
    const forward = hasKernel('LinearKl') ? kernelForward : composedForward;
    return forward(hidden, head, teacher, { shares, temperature, mix, chunkRows, headGradient });
  });
}

interface Result {
  loss: tf.Scalar;
  gradients: tf.Tensor[];
}

function kernelForward(
  hidden: tf.Tensor2D,
  head: tf.Tensor2D,
  teacher: Teacher,
  { shares, ...attributes }: Required<LinearKlOptions>,
): Result {
  const said: Record<string, tf.Tensor> =
    'hidden' in teacher
      ? { teacherHidden: teacher.hidden, teacherHead: teacher.head }
      : { indices: teacher.indices, teacherLogits: teacher.logits };
  const [loss, ...gradients] = runKernel('LinearKl', { hidden, head, shares, ...said }, attributes);
  return { loss: loss as tf.Scalar, gradients };
}

function composedForward(x: tf.Tensor2D, w: tf.Tensor2D, teacher: Teacher, options: Required<LinearKlOptions>): Result {
  const { shares, temperature, mix, chunkRows, headGradient } = options;
  const [rows] = x.shape;
  const dHidden: tf.Tensor2D[] = [];
  let loss = tf.scalar(0);
  let dHead = headGradient ? tf.zerosLike(w) : null;
  for (let start = 0; start < rows; start += chunkRows) {
    const count = Math.min(chunkRows, rows - start);
    const part = <T extends tf.Tensor2D>(tensor: T) => tf.slice(tensor, [start, 0], [count, tensor.shape[1]]) as T;
    const chunk = part(x);
    const said: Teacher =
      'hidden' in teacher
        ? { hidden: part(teacher.hidden), head: teacher.head }
        : { indices: part(teacher.indices), logits: part(teacher.logits) };
    const share = tf.reshape(tf.slice(shares, start, count), [count, 1]);
    const { divergences, dLogits } = composedChunk(tf.matMul(chunk, w, false, true), said, temperature, mix);
    loss = tf.add(loss, tf.sum(tf.mul(divergences, share)));
    const shared = tf.mul(dLogits, share) as tf.Tensor2D;
    dHidden.push(tf.matMul(shared, w));
    if (dHead) dHead = tf.add(dHead, tf.matMul(shared, chunk, true));
  }
  return { loss, gradients: [tf.concat(dHidden, 0), ...(dHead ? [dHead] : [])] };
}

function checkShapes(hidden: tf.Tensor2D, head: tf.Tensor2D, teacher: Teacher, shares: tf.Tensor1D, mix: number): void {
  const rows = hidden.shape[0];
  const fits =
    'hidden' in teacher
      ? teacher.hidden.shape[0] === rows && teacher.head.shape[0] === head.shape[0] && teacher.hidden.shape[1] === teacher.head.shape[1]
      : teacher.indices.shape[0] === rows && teacher.indices.shape.join() === teacher.logits.shape.join() && mix === 0;
  if (fits && shares.size === rows) return;
  const said = Object.entries(teacher).map(([name, tensor]) => `${name} [${(tensor as tf.Tensor).shape}]`);
  throw new RoundoffError(
    'internal',
    `hidden [${hidden.shape}], head [${head.shape}], ${shares.size} shares, a teacher of ${said.join(', ')} and mix ${mix} do not fit`,
    'Teacher and student need the same rows and vocabulary; a top-k teacher needs mix 0.',
  );
}
