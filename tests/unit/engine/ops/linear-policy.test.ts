import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { linearPolicy, type PolicyRows, type TokenStatistics, tokenStatistics } from '../../../../src-main/engine/ops/index.ts';
import { linearPolicyReference } from '../../../../src-main/engine/ops/linear-policy/reference.ts';
import { checkOp, composedForms, expectClose, normals, testBackends } from './op-check.ts';

const [rows, size] = [7, 6];
const targets = [2, 0, 8, 4, 4, 1, 7];
const weights = [0.2, 0.1, 0, 0.3, 0, 0.15, 0.25];
const advantages = [1.2, -0.7, 3, -1.5, 2, 0.4, 0];

const matrix = (values: Float64Array, shape: [number, number]) => tf.tensor2d(Float32Array.from(values), shape);

interface Case {
  name: string;
  vocab: number;
  chunkRows: number;
  settings: { temperature: number; clipLow: number; clipHigh: number; beta: number };
  /** What each old log-probability is above the present one; null without. */
  oldOffsets: number[] | null;
  referenceOffsets: number[] | null;
  importance: number[] | null;
}

const cases: Case[] = [
  {
    name: 'all terms, ratios on both sides of the clip',
    vocab: 9,
    chunkRows: 3,
    settings: { temperature: 1.3, clipLow: 0.2, clipHigh: 0.28, beta: 0.04 },
    oldOffsets: [-0.4, 0.5, 0, -0.1, 0, 0.15, -0.5],
    referenceOffsets: [0.01, -0.3, 0, 0.2, 0, -0.05, 0.9],
    importance: [1, 0.5, 1, 2, 1, 1.3, 0],
  },
  {
    name: 'on policy',
    vocab: 10,
    chunkRows: 7,
    settings: { temperature: 1, clipLow: 0.2, clipHigh: 0.2, beta: 0 },
    oldOffsets: null,
    referenceOffsets: null,
    importance: null,
  },
  {
    name: 'negative advantages beyond the clip',
    vocab: 12,
    chunkRows: 1,
    settings: { temperature: 0.8, clipLow: 0.1, clipHigh: 0.3, beta: 0 },
    oldOffsets: [-0.5, -0.5, 0, 0.4, 0, 0.4, 0.1],
    referenceOffsets: null,
    importance: null,
  },
];

/** log softmax(hidden · headᵀ / temperature) of every row, in double precision. */
function logSoftmax(hidden: Float64Array, head: Float64Array, vocab: number, temperature: number): number[][] {
  return Array.from({ length: rows }, (_, row) => {
    const logits = Array.from({ length: vocab }, (_, token) => {
      let sum = 0;
      for (let i = 0; i < size; i++) sum += hidden[row * size + i]! * head[token * size + i]!;
      return sum / temperature;
    });
    const logTotal = Math.log(logits.reduce((sum, z) => sum + Math.exp(z), 0));
    return logits.map((z) => z - logTotal);
  });
}

/** The policy's present log-probabilities where checkOp starts, which old and reference lie around. */
function present({ vocab, settings }: Case): number[] {
  const log = logSoftmax(normals(rows * size, 100), normals(vocab * size, 101), vocab, settings.temperature);
  return log.map((row, index) => row[targets[index]!]!);
}

function exactPolicy(test: Case, old: number[], reference: number[] | null) {
  const { vocab, settings, importance } = test;
  return (hidden: Float64Array, head: Float64Array) => {
    const log = logSoftmax(hidden, head, vocab, settings.temperature);
    let total = 0;
    for (let row = 0; row < rows; row++) {
      const logp = log[row]![targets[row]!]!;
      const [ratio, advantage] = [Math.exp(logp - old[row]!), advantages[row]!];
      const held = Math.min(Math.max(ratio, 1 - settings.clipLow), 1 + settings.clipHigh);
      let loss = -(importance?.[row] ?? 1) * Math.min(ratio * advantage, held * advantage);
      if (reference) loss += settings.beta * (Math.exp(reference[row]! - logp) - (reference[row]! - logp) - 1);
      total += weights[row]! * loss;
    }
    return Float64Array.of(total);
  };
}

describe.each(testBackends)('linearPolicy on %s', (backend) => {
  it.each(cases)('$name: value and gradients', async (test) => {
    await selectBackend(backend);
    const around = (offsets: number[] | null) => offsets && present(test).map((logp, row) => Math.fround(logp + offsets[row]!));
    const [old, reference] = [around(test.oldOffsets), around(test.referenceOffsets)];
    const vector = (values: number[] | null) => (values ? tf.tensor1d(values) : null);
    const given: PolicyRows = {
      weights: tf.tensor1d(weights),
      advantages: tf.tensor1d(advantages),
      old: vector(old),
      reference: vector(reference),
      importance: vector(test.importance),
    };
    const ids = tf.tensor1d(targets, 'int32');
    await checkOp(backend, {
      shapes: [
        [rows, size],
        [test.vocab, size],
      ],
      exact: exactPolicy(test, old ?? present(test), reference),
      forms: {
        linearPolicy: (hidden, head) => linearPolicy(hidden, head, ids, given, test.settings, { chunkRows: test.chunkRows }),
        ...composedForms(
          backend,
          old ? { reference: (hidden, head) => linearPolicyReference(hidden, head, ids, given, test.settings) } : {},
        ),
      },
    });
    tf.dispose([ids, ...Object.values(given).filter((tensor) => tensor !== null)]);
  });

  it('log-probabilities and entropies equal those written out, and 0 where nothing counts', async () => {
    await selectBackend(backend);
    const [vocab, temperature] = [9, 1.7];
    const before = tf.memory().numTensors;
    const [x, w] = [normals(rows * size, 100), normals(vocab * size, 101)];
    const log = logSoftmax(x, w, vocab, temperature);
    const counts = (row: number) => (weights[row] === 0 ? 0 : 1);
    const logps = log.map((values, row) => counts(row) * values[targets[row]!]!);
    const entropies = log.map((values, row) => counts(row) * values.reduce((sum, l) => sum - Math.exp(l) * l, 0));
    const [hidden, head] = [matrix(x, [rows, size]), matrix(w, [vocab, size])];
    const [ids, mask] = [tf.tensor1d(targets, 'int32'), tf.tensor1d(weights)];
    const alone = tokenStatistics(hidden, head, ids, mask, { temperature, chunkRows: 3 });
    const beside: TokenStatistics[] = [];
    const given = { weights: mask, advantages: tf.tensor1d(advantages), old: null, reference: null, importance: null };
    const settings = { temperature, clipLow: 0.2, clipHigh: 0.2, beta: 0 };
    const loss = linearPolicy(hidden, head, ids, given, settings, { chunkRows: 3, onTokens: (tokens) => beside.push(tokens) });
    expect(beside).toHaveLength(1);
    for (const tokens of [alone, beside[0]!]) {
      await expectClose(tokens.logProbabilities, logps, 1e-5, 'log-probabilities');
      await expectClose(tokens.entropies, entropies, 1e-5, 'entropies');
      tf.dispose([tokens.logProbabilities, tokens.entropies]);
    }
    tf.dispose([hidden, head, ids, mask, given.advantages, loss]);
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('linearPolicy', () => {
  const settings = { temperature: 1, clipLow: 0.2, clipHigh: 0.2, beta: 0 };
  const model = () => ({
    hidden: matrix(normals(rows * size, 1), [rows, size]),
    head: matrix(normals(9 * size, 2), [9, size]),
    ids: tf.tensor1d(targets, 'int32'),
  });

  it('has no gradient where all advantages are 0', async () => {
    await selectBackend('wasm');
    const { hidden, head, ids } = model();
    const given = {
      weights: tf.tensor1d(weights),
      advantages: tf.zeros([rows]) as tf.Tensor1D,
      old: null,
      reference: null,
      importance: null,
    };
    const { value, grads } = tf.valueAndGrads((x, w) => linearPolicy(x as tf.Tensor2D, w as tf.Tensor2D, ids, given, settings))([
      hidden,
      head,
    ]);
    expect(value.dataSync()[0]).toBeCloseTo(0, 12);
    for (const gradient of grads) expect(Math.max(...gradient.dataSync().map(Math.abs))).toBe(0);
  });

  it('keeps the divergence from the reference accurate where both nearly agree', async () => {
    await selectBackend('wasm');
    const { hidden, head, ids } = model();
    const { logProbabilities } = tokenStatistics(hidden, head, ids, tf.ones([rows]), settings);
    const distance = 1e-3;
    const reference = tf.add(logProbabilities, distance) as tf.Tensor1D;
    const given = {
      weights: tf.ones([rows]) as tf.Tensor1D,
      advantages: tf.zeros([rows]) as tf.Tensor1D,
      old: null,
      reference,
      importance: null,
    };
    const value = linearPolicy(hidden, head, ids, given, { ...settings, beta: 1 }).dataSync()[0]!;
    const said = reference.dataSync<'float32'>();
    const logp = logProbabilities.dataSync<'float32'>();
    const exact = said.reduce((sum, value, row) => sum + Math.expm1(value - logp[row]!) - (value - logp[row]!), 0);
    expect(Math.abs(value - exact)).toBeLessThan(1e-6 * exact);
  });

  it('refuses targets outside the vocabulary and rows that do not fit', async () => {
    await selectBackend('wasm');
    const hidden = tf.zeros([2, 4]) as tf.Tensor2D;
    const head = tf.zeros([3, 4]) as tf.Tensor2D;
    const two = tf.ones([2]) as tf.Tensor1D;
    const given = { weights: two, advantages: two, old: null, reference: null, importance: null };
    expect(() => linearPolicy(hidden, head, tf.tensor1d([0, 3], 'int32'), given, settings)).toThrow('token id 3 at place 1');
    expect(() => linearPolicy(hidden, head, tf.tensor1d([0, 1], 'int32'), { ...given, old: tf.ones([3]) }, settings)).toThrow('3 old');
  });
});
