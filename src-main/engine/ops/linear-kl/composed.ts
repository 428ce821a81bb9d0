/** One chunk's divergences and their gradient from plain tensor ops, for backends without a kernel. */
import * as tf from '@tensorflow/tfjs-core';
import type { Teacher } from './index.ts';

/**
 * @param logits [rows, vocab] of the student
 * @returns divergences [rows, 1] and their gradient in the logits [rows, vocab]
 */
export function composedChunk(
  logits: tf.Tensor2D,
  teacher: Teacher,
  temperature: number,
  mix: number,
): { divergences: tf.Tensor2D; dLogits: tf.Tensor2D } {
  const student = tf.logSoftmax(tf.div(logits, temperature)) as tf.Tensor2D;
  if ('indices' in teacher) return topDivergence(student, teacher, temperature);
  const target = tf.logSoftmax(tf.div(tf.matMul(teacher.hidden, teacher.head, false, true), temperature));
  const [pS, pT, gap] = [tf.exp(student), tf.exp(target), tf.sub(student, target)];
  // p·(−d) + q − p adds up to the same and nearly never has a negative term.
  const apart = tf.sub(pS, pT);
  const forward = tf.sum(tf.sub(apart, tf.mul(pT, gap)), 1, true);
  const reverse = tf.sum(tf.sub(tf.mul(pS, gap), apart), 1, true);
  const divergences = tf.add(tf.mul(forward, 1 - mix), tf.mul(reverse, mix)) as tf.Tensor2D;
  const ofReverse = tf.mul(pS, tf.sub(gap, reverse));
  const dLogits = tf.div(tf.add(tf.mul(apart, 1 - mix), tf.mul(ofReverse, mix)), temperature) as tf.Tensor2D;
  return { divergences, dLogits };
}

function topDivergence(student: tf.Tensor2D, teacher: Extract<Teacher, { indices: tf.Tensor2D }>, temperature: number) {
  const [rows, vocab] = student.shape;
  const k = teacher.indices.shape[1];
  const target = tf.logSoftmax(tf.div(teacher.logits, temperature));
  const firsts = tf.mul(tf.reshape(tf.range(0, rows, 1, 'int32'), [rows, 1]), tf.scalar(vocab, 'int32'));
  const flat = tf.reshape(tf.cast(tf.add(teacher.indices, firsts), 'int32'), [rows * k]) as tf.Tensor1D;
  const picked = tf.reshape(tf.gather(tf.reshape(student, [rows * vocab]), flat), [rows, k]);
  const pT = tf.exp(target);
  const divergences = tf.sum(tf.mul(pT, tf.sub(target, picked)), 1, true) as tf.Tensor2D;
  const spread = tf.scatterND(tf.reshape(flat, [rows * k, 1]), tf.reshape(pT, [rows * k]), [rows * vocab]);
  const dLogits = tf.div(tf.sub(tf.exp(student), tf.reshape(spread, [rows, vocab])), temperature) as tf.Tensor2D;
  return { divergences, dLogits };
}
