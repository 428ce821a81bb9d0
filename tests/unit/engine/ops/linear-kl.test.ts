import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { linearKl, type Teacher } from '../../../../src-main/engine/ops/index.ts';
import { linearKlReference } from '../../../../src-main/engine/ops/linear-kl/reference.ts';
import { checkOp, composedForms, expectClose, normals, testBackends } from './op-check.ts';

const [rows, size, teacherSize] = [7, 6, 5];
const mask = [1, 1, 0, 1, 0, 1, 1];
const shares = mask.map((value) => value / 5);

const matrix = (values: Float64Array, shape: [number, number]) => tf.tensor2d(Float32Array.from(values), shape);

/** softmax(x · wᵀ / temperature) of one row, in double precision. */
function probabilities(
  x: ArrayLike<number>,
  w: ArrayLike<number>,
  row: number,
  width: number,
  vocab: number,
  temperature: number,
): number[] {
  const weights = Array.from({ length: vocab }, (_, token) => {
    let sum = 0;
    for (let i = 0; i < width; i++) sum += x[row * width + i]! * w[token * width + i]!;
    return Math.exp(sum / temperature);
  });
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

function divergence(p: number[], q: number[]): number {
  return p.reduce((sum, value, token) => sum + (value === 0 ? 0 : value * Math.log(value / q[token]!)), 0);
}

interface Case {
  vocab: number;
  chunkRows: number;
  temperature: number;
  mix: number;
}

function exactKl({ vocab, temperature, mix }: Case, teacherOf: (row: number) => number[]) {
  return (hidden: Float64Array, head: Float64Array) => {
    let total = 0;
    for (let row = 0; row < rows; row++) {
      const student = probabilities(hidden, head, row, size, vocab, temperature);
      const teacher = teacherOf(row);
      const reverse = mix > 0 ? mix * divergence(student, teacher) : 0;
      total += shares[row]! * (reverse + (1 - mix) * divergence(teacher, student));
    }
    return Float64Array.of(total);
  };
}

describe.each(testBackends)('linearKl on %s', (backend) => {
  it.each([
    { vocab: 9, chunkRows: 3, temperature: 2, mix: 0.3 },
    { vocab: 12, chunkRows: 7, temperature: 1, mix: 0 },
    { vocab: 10, chunkRows: 1, temperature: 0.7, mix: 1 },
  ] satisfies Case[])('$vocab tokens in chunks of $chunkRows rows, temperature $temperature, mix $mix', async (settings) => {
    await selectBackend(backend);
    const { vocab, temperature } = settings;
    const [x, w] = [normals(rows * teacherSize, 7), normals(vocab * teacherSize, 8)];
    const teacher = { hidden: matrix(x, [rows, teacherSize]), head: matrix(w, [vocab, teacherSize]) };
    const options = { ...settings, shares: tf.tensor1d(shares) };
    await checkOp(backend, {
      shapes: [
        [rows, size],
        [vocab, size],
      ],
      exact: exactKl(settings, (row) => probabilities(x, w, row, teacherSize, vocab, temperature)),
      forms: {
        linearKl: (hidden, head) => linearKl(hidden, head, teacher, options),
        ...composedForms(backend, { reference: (hidden, head) => linearKlReference(hidden, head, teacher, options) }),
      },
    });
    tf.dispose([teacher, options.shares]);
  });

  it.each([
    { vocab: 9, chunkRows: 3, temperature: 1.5, mix: 0 },
    { vocab: 12, chunkRows: 7, temperature: 1, mix: 0 },
  ] satisfies Case[])('the teacher’s top 4 of $vocab tokens, renormalised', async (settings) => {
    await selectBackend(backend);
    const { vocab, temperature } = settings;
    const k = 4;
    const indices = Array.from({ length: rows * k }, (_, place) => ((place % k) * 2 + Math.floor(place / k)) % vocab);
    const logits = normals(rows * k, 9);
    const teacherOf = (row: number) => {
      const weights = Array.from(logits.subarray(row * k, (row + 1) * k), (logit) => Math.exp(logit / temperature));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const whole = new Array<number>(vocab).fill(0);
      for (const [i, weight] of weights.entries()) whole[indices[row * k + i]!] = weight / total;
      return whole;
    };
    const teacher = { indices: tf.tensor2d(indices, [rows, k], 'int32'), logits: matrix(logits, [rows, k]) };
    const options = { ...settings, shares: tf.tensor1d(shares) };
    await checkOp(backend, {
      shapes: [
        [rows, size],
        [vocab, size],
      ],
      exact: exactKl(settings, teacherOf),
      forms: {
        linearKl: (hidden, head) => linearKl(hidden, head, teacher, options),
        ...composedForms(backend, { reference: (hidden, head) => linearKlReference(hidden, head, teacher, options) }),
      },
    });
    tf.dispose([teacher, options.shares]);
  });

  it('a student equal to its teacher has divergence 0 and no gradient, in every direction', async () => {
    await selectBackend(backend);
    const hidden = matrix(normals(rows * size, 3), [rows, size]);
    const head = matrix(normals(11 * size, 4), [11, size]);
    const ones = tf.fill([rows], 1 / rows) as tf.Tensor1D;
    for (const mix of [0, 0.5, 1]) {
      const loss = (x: tf.Tensor, w: tf.Tensor) =>
        linearKl(x as tf.Tensor2D, w as tf.Tensor2D, { hidden, head }, { shares: ones, temperature: 2, mix });
      const { value, grads } = tf.valueAndGrads(loss)([hidden, head]);
      expect(Math.abs((await value.data())[0]!)).toBeLessThan(1e-9);
      for (const gradient of grads) await expectClose(gradient, new Float64Array(gradient.size), 1e-7, `gradient with mix ${mix}`);
      tf.dispose([value, ...grads]);
    }
    tf.dispose([hidden, head, ones]);
  });
});

describe('linearKl', () => {
  it('is never negative, however near the teacher is', async () => {
    await selectBackend('wasm');
    const [many, width, vocab] = [40, 8, 448];
    const hidden = tf.randomNormal([many, width], 0, 1, 'float32', 1) as tf.Tensor2D;
    const head = tf.randomNormal([vocab, width], 0, 1, 'float32', 2) as tf.Tensor2D;
    for (const distance of [1e-6, 1e-4, 1e-2, 1, 30]) {
      const teacher = { hidden: tf.add(hidden, tf.randomNormal([many, width], 0, distance, 'float32', 3)) as tf.Tensor2D, head };
      for (const mix of [0, 1]) {
        for (let row = 0; row < many; row++) {
          const only = tf.tensor1d(Array.from({ length: many }, (_, other) => (other === row ? 1 : 0)));
          const value = linearKl(hidden, head, teacher, { shares: only, mix }).dataSync()[0]!;
          expect(value, `row ${row} at distance ${distance}`).toBeGreaterThanOrEqual(0);
          if (distance >= 1e-2) expect(value).toBeGreaterThan(1e-6);
        }
      }
    }
  });

  it('gives (pS − pT) / T as the gradient in the logits, without the factor T²', async () => {
    await selectBackend('wasm');
    const vocab = 5;
    const [student, teacher] = [normals(vocab, 1), normals(vocab, 2)];
    // With the identity as output layer the hidden states are the logits.
    const head = tf.eye(vocab) as tf.Tensor2D;
    for (const temperature of [1, 3]) {
      const softened = (logits: Float64Array) => {
        const weights = logits.map((logit) => Math.exp(logit / temperature));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        return weights.map((weight) => weight / total);
      };
      const [pS, pT] = [softened(student), softened(teacher)];
      const said: Teacher = { hidden: matrix(teacher, [1, vocab]), head };
      const gradient = tf.grad((x) => linearKl(x as tf.Tensor2D, head, said, { shares: tf.ones([1]), temperature }))(
        matrix(student, [1, vocab]),
      );
      await expectClose(
        gradient,
        pS.map((p, token) => (p - pT[token]!) / temperature),
        1e-6,
        `T ${temperature}`,
      );
    }
  });

  it('does not depend on the size of chunks beyond rounding', async () => {
    await selectBackend('wasm');
    const random = (shape: [number, number], seed: number) => tf.randomNormal(shape, 0, 1, 'float32', seed) as tf.Tensor2D;
    const [hidden, head] = [random([50, 16], 1), random([40, 16], 2)];
    const teacher = { hidden: random([50, 16], 3), head: random([40, 16], 4) };
    const ones = tf.fill([50], 1 / 50) as tf.Tensor1D;
    const losses = [1, 7, 50].map((chunkRows) => linearKl(hidden, head, teacher, { shares: ones, chunkRows }).dataSync()[0]!);
    for (const loss of losses) expect(loss).toBeCloseTo(losses[0]!, 5);
  });

  it('refuses what does not fit', async () => {
    await selectBackend('wasm');
    const hidden = tf.zeros([2, 4]) as tf.Tensor2D;
    const head = tf.zeros([3, 4]) as tf.Tensor2D;
    const shares = tf.ones([2]) as tf.Tensor1D;
    const top = { indices: tf.tensor2d([0, 1, 2, 3], [2, 2], 'int32'), logits: tf.zeros([2, 2]) as tf.Tensor2D };
    expect(() => linearKl(hidden, head, top, { shares })).toThrow('token id 3 at place 3');
    expect(() => linearKl(hidden, head, top, { shares, mix: 0.5 })).toThrow('do not fit');
    expect(() => linearKl(hidden, head, { hidden, head: tf.zeros([5, 4]) }, { shares })).toThrow('do not fit');
  });
});
