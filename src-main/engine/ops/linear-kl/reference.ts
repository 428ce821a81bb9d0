/** Output layer and divergence in one expression, with all logits at once: the plain form the chunked op is held against. */
import * as tf from '@tensorflow/tfjs-core';
import type { Teacher } from './index.ts';

export function linearKlReference(
  hidden: tf.Tensor2D,
  head: tf.Tensor2D,
  teacher: Teacher,
  { shares, temperature = 1, mix = 0 }: { shares: tf.Tensor1D; temperature?: number; mix?: number },
): tf.Scalar {
  return tf.tidy(() => {
    const student = tf.logSoftmax(tf.div(tf.matMul(hidden, head, false, true), temperature));
    const rows = 'hidden' in teacher ? fullRows(student, teacher, temperature, mix) : topRows(student, teacher, temperature);
    return tf.sum(tf.mul(rows, shares)) as tf.Scalar;
  });
}

function fullRows(student: tf.Tensor, teacher: Extract<Teacher, { hidden: tf.Tensor2D }>, temperature: number, mix: number): tf.Tensor {
  const target = tf.logSoftmax(tf.div(tf.matMul(teacher.hidden, teacher.head, false, true), temperature));
  const forward = tf.sum(tf.mul(tf.exp(target), tf.sub(target, student)), 1);
  const reverse = tf.sum(tf.mul(tf.exp(student), tf.sub(student, target)), 1);
  return tf.add(tf.mul(forward, 1 - mix), tf.mul(reverse, mix));
}

function topRows(student: tf.Tensor, { indices, logits }: Extract<Teacher, { indices: tf.Tensor2D }>, temperature: number): tf.Tensor {
  const target = tf.logSoftmax(tf.div(logits, temperature));
  const places = tf.cast(tf.oneHot(indices, student.shape[1]!), 'float32');
  const picked = tf.sum(tf.mul(places, tf.expandDims(student, 1)), 2);
  return tf.sum(tf.mul(tf.exp(target), tf.sub(target, picked)), 1);
}
