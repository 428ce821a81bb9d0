/** Activation checkpointing of plain weights: the same gradients out of less memory. */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { createRandomModel } from '../../../../src-main/engine/model/init.ts';
import { WeightsTrainee } from '../../../../src-main/engine/training/index.ts';
import { gradientsAlong, recomputed } from '../../../../src-main/engine/training/recompute.ts';
import { testBackend } from '../../../support/test-backend.ts';
import { tinyConfig } from './tiny.ts';
import { gradientsOf } from './trainees/support.ts';

beforeAll(async () => {
  await selectBackend(testBackend);
});

it('gives the gradients of a plain pass bit for bit, from fewer bytes, and leaves nothing behind', async () => {
  const config = { ...tinyConfig, layers: 6, vocabSize: 60 };
  const results = [];
  for (const activationCheckpointing of [false, true]) {
    const before = tf.memory().numTensors;
    const trainee = new WeightsTrainee(createRandomModel(config, 2, { deviation: 0.3 }), { ownsModel: true, activationCheckpointing });
    const kept = tf.memory().numBytes;
    let atEnd = 0;
    const { forward } = trainee;
    trainee.forward = (ids, pass) => {
      const hidden = forward.call(trainee, ids, pass);
      atEnd = tf.memory().numBytes - kept;
      return hidden;
    };
    results.push({ gradients: await gradientsOf(trainee), atEnd });
    trainee.dispose();
    expect(tf.memory().numTensors).toBe(before);
  }
  const [plain, saving] = results as [(typeof results)[0], (typeof results)[0]];
  for (const [name, values] of plain.gradients) expect(saving.gradients.get(name), name).toEqual(values);
  // What the plain pass keeps of six layers shrinks to their inputs.
  expect(saving.atEnd).toBeLessThan(0.3 * plain.atEnd);
});

it('passes gradients to what the computation captures, and zeros to what it does not read', async () => {
  const [x, w, unused] = [tf.tensor1d([1, 2]), tf.tensor1d([3, 5]), tf.tensor1d([7, 7])];
  const { grads } = tf.engine().gradients(() => tf.sum(recomputed((value) => tf.mul(tf.square(value), w), x, [w, unused])), [x, w, unused]);
  expect(await Promise.all(grads.map(async (gradient) => [...(await gradient.data())]))).toEqual([
    [6, 20],
    [1, 4],
    [0, 0],
  ]);
  // Outside a backward pass there is no tape to put aside.
  expect([...(await gradientsAlong(() => tf.square(x), [x], tf.tensor1d([1, 10]))[0]!.data())]).toEqual([2, 40]);
});
