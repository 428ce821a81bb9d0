import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import type { BackendName } from '#contract/worker.ts';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { createRandomModel } from '../../../../src-main/engine/model/init.ts';
import { clipByGlobalNorm, linearCrossEntropy } from '../../../../src-main/engine/ops/index.ts';
import { abacusConfig } from '../../../../src-main/engine/sample/index.ts';
import { lossAndGradients, WeightsTrainee } from '../../../../src-main/engine/training/index.ts';
import { Optimizer } from '../../../../src-main/engine/training/optimizer.ts';
import { testBackends } from './op-check.ts';

const constants = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 };

/** Loss and gradient norm of the first steps of a one-layer model on a backend. */
async function firstSteps(backend: BackendName): Promise<number[]> {
  await selectBackend(backend);
  const model = createRandomModel({ ...abacusConfig, layers: 1 }, 1);
  const trainee = new WeightsTrainee(model, { ownsModel: true });
  const optimizer = new Optimizer(trainee.parameters, constants);
  const [rows, seq] = [2, 12];
  const ids = Int32Array.from({ length: rows * seq }, (_, i) => (i * 7) % 60);
  const inputs = tf.tensor2d(ids, [rows, seq], 'int32');
  const targets = tf.tensor1d(ids, 'int32');
  const mask = tf.ones([rows * seq]) as tf.Tensor1D;
  const figures: number[] = [];
  for (let step = 1; step <= 2; step++) {
    const micro = {
      inputs,
      tokens: rows * seq,
      loss: (hidden: tf.Tensor2D, head: tf.Tensor2D) => linearCrossEntropy(hidden, head, targets, { mask }),
      dispose: () => {},
    };
    const { loss, gradients } = lossAndGradients(trainee, micro, null);
    const { norm, scale } = clipByGlobalNorm(gradients, 1);
    optimizer.update(gradients, step, { weights: 1e-3, transforms: 0, clips: 0 }, scale);
    figures.push((await loss.data())[0]!, (await norm.data())[0]!);
    tf.dispose([loss, norm, scale, ...gradients]);
  }
  optimizer.dispose();
  trainee.dispose();
  tf.dispose([inputs, targets, mask]);
  return figures;
}

it.each(testBackends)('a model learns alike on every backend: %s', async (backend) => {
  const expected = await firstSteps('wasm');
  expect(expected[2]!).toBeLessThan(expected[0]!);
  const figures = await firstSteps(backend);
  for (const [index, value] of figures.entries()) expect(Math.abs(value / expected[index]! - 1)).toBeLessThan(1e-4);
});
