/** Fake quantization with learnt ranges, and its gradients, from plain tensor ops. */
import * as tf from '@tensorflow/tfjs-core';
import { roundToHalf } from '../round-to-half.ts';
import type { GridLimits, RangeFactors } from './index.ts';

/** @param x [..., size] */
export function clippedQuantizeReference<T extends tf.Tensor>(x: T, factors: RangeFactors, limits: GridLimits): T {
  return tf.tidy(() => {
    const rows = asRows(x);
    const { scale, zero } = gridOf(rows, factors, limits);
    const codes = tf.clipByValue(tf.add(tf.round(tf.div(rows, scale)), zero), limits.lowest, limits.highest);
    return tf.reshape(tf.mul(tf.sub(codes, zero), scale), x.shape);
  }) as T;
}

/** @param saved x, high, low @returns their gradients */
export function clippedQuantizeGradientReference(dy: tf.Tensor, saved: tf.Tensor[], limits: GridLimits): tf.Tensor[] {
  const [x, high, low] = saved as [tf.Tensor, tf.Tensor1D, tf.Tensor1D];
  return tf.tidy(() => {
    const { symmetric, divisor, lowest, highest } = limits;
    const rows = asRows(x);
    const above = asRows(dy);
    const { scale, zero, top, bottom, hi, lo, isEmpty } = gridOf(rows, { high, low }, limits);
    const ratio = tf.div(rows, scale);
    const codes = tf.add(tf.round(ratio), zero);
    const clipped = tf.clipByValue(codes, lowest, highest);
    const inside = tf.cast(tf.equal(codes, clipped), 'float32');
    const slope = tf.sub(tf.sub(clipped, zero), tf.mul(inside, ratio));
    const dScale = tf.sum(tf.mul(above, slope), 1, true);
    const share = tf.where(isEmpty, tf.zerosLike(dScale), tf.div(dScale, divisor));
    const isHigh = tf.greaterEqual(hi, tf.neg(lo));
    const dHi = symmetric ? tf.where(isHigh, share, tf.zerosLike(share)) : share;
    const dLo = symmetric ? tf.where(isHigh, tf.zerosLike(share), tf.neg(share)) : tf.neg(share);
    const dx = tf.addN([
      tf.mul(above, inside),
      spreadOver(tf.logicalAnd(tf.equal(rows, top), tf.greater(top, 0)), tf.mul(dHi, column(high))),
      spreadOver(tf.logicalAnd(tf.equal(rows, bottom), tf.less(bottom, 0)), tf.mul(dLo, column(low))),
    ]);
    const forFactor = (gradient: tf.Tensor, factor: tf.Tensor) =>
      tf.reshape(factor.size === gradient.size ? gradient : tf.sum(gradient), factor.shape);
    return [tf.reshape(dx, x.shape), forFactor(tf.mul(dHi, top), high), forFactor(tf.mul(dLo, bottom), low)];
  });
}

/** `amount` [rows, 1] in equal shares over the marked places of each row; nothing where there are none. */
export function spreadOver(places: tf.Tensor, amount: tf.Tensor): tf.Tensor {
  const marked = tf.cast(places, 'float32');
  return tf.mul(marked, tf.div(amount, tf.maximum(tf.sum(marked, 1, true), 1)));
}

/** Scale and zero point of each row, and what they follow from. */
export function gridOf(rows: tf.Tensor2D, factors: RangeFactors, { symmetric, divisor, highest, halfScales }: GridLimits) {
  const top = tf.maximum(tf.max(rows, 1, true), 0);
  const bottom = tf.minimum(tf.min(rows, 1, true), 0);
  const hi = tf.mul(top, column(factors.high));
  const lo = tf.mul(bottom, column(factors.low));
  const range = symmetric ? tf.maximum(hi, tf.neg(lo)) : tf.sub(hi, lo);
  const isEmpty = tf.lessEqual(range, 0);
  const width = tf.where(isEmpty, tf.onesLike(range), tf.div(range, divisor));
  const scale = halfScales ? roundToHalf(width) : width;
  const zero = symmetric ? tf.zerosLike(scale) : tf.minimum(tf.round(tf.div(tf.neg(lo), scale)), highest);
  return { scale, zero, top, bottom, hi, lo, isEmpty };
}

function column(factors: tf.Tensor1D): tf.Tensor2D {
  return tf.reshape(factors, [-1, 1]);
}

function asRows(x: tf.Tensor): tf.Tensor2D {
  return tf.reshape(x, [-1, x.shape.at(-1)!]);
}
