import * as tf from '@tensorflow/tfjs-core';
import { describe, it } from 'vitest';
import '../../../../src-main/engine/backends/gradients.ts';
import { checkOp } from '../ops/op-check.ts';

/** Elementwise over one input. */
const unary: Record<string, [op: (x: tf.Tensor) => tf.Tensor, exact: (x: number) => number]> = {
  neg: [tf.neg, (x) => -x],
  square: [tf.square, (x) => x * x],
  sqrt: [(x) => tf.sqrt(tf.add(tf.square(x), 1)), (x) => Math.sqrt(x * x + 1)],
  rsqrt: [(x) => tf.rsqrt(tf.add(tf.square(x), 1)), (x) => 1 / Math.sqrt(x * x + 1)],
  exp: [tf.exp, Math.exp],
  log: [(x) => tf.log(tf.add(tf.square(x), 1)), (x) => Math.log(x * x + 1)],
  tanh: [tf.tanh, Math.tanh],
  sigmoid: [tf.sigmoid, (x) => 1 / (1 + Math.exp(-x))],
};

const binary: Record<string, [op: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor, exact: (a: number, b: number) => number]> = {
  add: [tf.add, (a, b) => a + b],
  sub: [tf.sub, (a, b) => a - b],
  mul: [tf.mul, (a, b) => a * b],
  div: [(a, b) => tf.div(a, tf.add(tf.square(b), 1)), (a, b) => a / (b * b + 1)],
};

describe('gradients of basic ops', () => {
  it.each(Object.entries(unary))('%s', async (name, [op, exact]) => {
    await checkOp('wasm', { shapes: [[3, 4]], exact: (x) => x.map(exact), forms: { [name]: op } });
  });

  it.each(Object.entries(binary))('%s, with broadcasting either way', async (name, [op, exact]) => {
    const last = (a: Float64Array, b: Float64Array) => a.map((value, i) => exact(value, b[i % 4]!));
    await checkOp('wasm', { shapes: [[3, 4], [4]], exact: last, forms: { [name]: op } });
    const first = (a: Float64Array, b: Float64Array) => b.map((value, i) => exact(a[Math.floor(i / 4)]!, value));
    await checkOp('wasm', {
      shapes: [
        [3, 1],
        [3, 4],
      ],
      exact: first,
      forms: { [name]: op },
    });
  });

  it('softmax and log-softmax', async () => {
    const rows = (x: Float64Array, map: (value: number, total: number) => number) =>
      x.map((value, i) =>
        map(
          value,
          x.subarray(i - (i % 5), i - (i % 5) + 5).reduce((sum, v) => sum + Math.exp(v), 0),
        ),
      );
    const softmax = (x: Float64Array) => rows(x, (value, total) => Math.exp(value) / total);
    await checkOp('wasm', { shapes: [[3, 5]], exact: softmax, forms: { softmax: (x) => tf.softmax(x) } });
    const logSoftmax = (x: Float64Array) => rows(x, (value, total) => value - Math.log(total));
    await checkOp('wasm', { shapes: [[3, 5]], exact: logSoftmax, forms: { logSoftmax: (x) => tf.logSoftmax(x) } });
  });

  it('sum and mean over an axis', async () => {
    const sums = (x: Float64Array) => Float64Array.from({ length: 8 }, (_, i) => x[i]! + x[i + 8]! + x[i + 16]!);
    await checkOp('wasm', { shapes: [[3, 2, 4]], exact: sums, forms: { sum: (x) => tf.sum(x, 0), kept: (x) => tf.sum(x, 0, true) } });
    const means = (x: Float64Array) =>
      Float64Array.from({ length: 6 }, (_, i) => x.subarray(4 * i, 4 * i + 4).reduce((sum, v) => sum + v, 0) / 4);
    await checkOp('wasm', { shapes: [[3, 2, 4]], exact: means, forms: { mean: (x) => tf.mean(x, -1) } });
  });

  it.each([
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ])('matMul with transposes %s and %s, and a broadcast batch', async (transA, transB) => {
    const [m, k, n] = [2, 3, 4];
    const exact = (a: Float64Array, b: Float64Array) =>
      Float64Array.from({ length: 2 * m * n }, (_, place) => {
        const [batch, i, j] = [Math.floor(place / (m * n)), Math.floor(place / n) % m, place % n];
        let sum = 0;
        for (let p = 0; p < k; p++) sum += a[batch * m * k + (transA ? p * m + i : i * k + p)]! * b[transB ? j * k + p : p * n + j]!;
        return sum;
      });
    const shapes = [[2, ...(transA ? [k, m] : [m, k])], transB ? [n, k] : [k, n]];
    await checkOp('wasm', { shapes, exact, forms: { matMul: (a, b) => tf.matMul(a, b, transA, transB) } });
  });

  it('shape ops: reshape, transpose, slice, concat, split, expandDims, clone', async () => {
    const same = (x: Float64Array) => x.slice();
    const swap = (x: Float64Array) => Float64Array.from(x, (_, i) => x[(i % 3) * 4 + Math.floor(i / 3)]!);
    await checkOp('wasm', {
      shapes: [[3, 4]],
      exact: same,
      forms: {
        reshape: (x) => tf.reshape(x, [2, 6]),
        expandDims: (x) => tf.expandDims(x, 1),
        clone: (x) => tf.clone(x),
        halves: (x) => tf.concat(tf.split(x, 2, 1), 1),
        unevenParts: (x) => tf.concat(tf.split(x, [1, 2], 0), 0),
      },
    });
    await checkOp('wasm', { shapes: [[3, 4]], exact: swap, forms: { transpose: (x) => tf.transpose(x, [1, 0]) } });
    const inner = (x: Float64Array) => Float64Array.of(x[5]!, x[6]!, x[9]!, x[10]!);
    await checkOp('wasm', { shapes: [[3, 4]], exact: inner, forms: { slice: (x) => tf.slice(x, [1, 1], [2, 2]) } });
  });
});
