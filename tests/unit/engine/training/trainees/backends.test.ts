/** The same trainees on the other backends: they start, learn and are saved as on wasm. */
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { parseScheme } from '#contract/scheme.ts';
import { selectBackend } from '../../../../../src-main/engine/backends/select.ts';
import { loadModel } from '../../../../../src-main/engine/model/load.ts';
import { lossAndGradients, type Trainee } from '../../../../../src-main/engine/training/index.ts';
import { goldenModel } from '../../../../golden/fixtures.ts';
import { testBackends } from '../../ops/op-check.ts';
import { fresh, microBatch, quantizedFolder, traineeOf, trainSteps } from './support.ts';

const ids = [5, 9, 4, 17, 30, 2, 8];

async function logitsOf(compute: (ids: tf.Tensor2D) => { hidden: tf.Tensor3D; head: tf.Tensor2D }): Promise<Float32Array> {
  const logits = tf.tidy(() => {
    const { hidden, head } = compute(tf.tensor2d([ids], [1, ids.length], 'int32'));
    return tf.matMul(tf.reshape(hidden, [ids.length, -1]) as tf.Tensor2D, head, false, true);
  });
  const values = (await logits.data<'float32'>()).slice();
  logits.dispose();
  return values;
}

const ofTrainee = (trainee: Trainee) =>
  logitsOf((input) => ({ hidden: trainee.forward(input, { dropoutSeed: null }), head: trainee.headWeight() }));

async function ofFolder(dir: string): Promise<Float32Array> {
  const model = await loadModel(dir);
  const values = await logitsOf((input) => ({ hidden: model.forward(input), head: model.headWeight() }));
  model.dispose();
  return values;
}

function expectClose(actual: Float32Array, expected: Float32Array, tolerance: number, what: string): void {
  const largest = actual.reduce((worst, value, i) => Math.max(worst, Math.abs(value - expected[i]!)), 0);
  expect(largest, what).toBeLessThan(tolerance);
}

async function gradientsOf(trainee: Trainee): Promise<Float32Array[]> {
  const micro = microBatch();
  const { loss, gradients } = lossAndGradients(trainee, micro, 4);
  micro.dispose();
  loss.dispose();
  const own = await trainee.parameterGradients(gradients);
  const values = await Promise.all(own.map(async (gradient) => (await gradient.data<'float32'>()).slice()));
  tf.dispose(own);
  return values;
}

describe.each(testBackends.filter((backend) => backend !== 'wasm'))('on %s', (backend) => {
  it.each([
    [
      'a linear in W3G16, live',
      async () => goldenModel('qwen3-tied').dir,
      { kind: 'quantized', scheme: parseScheme('W3G16'), modules: ['q_proj'], others: 'frozen' },
    ],
    ['a low-rank update over NF4', () => quantizedFolder('nf4', 'NF4'), { kind: 'lora', rank: 4, modules: ['q_proj'] }],
  ] as const)('%s', async (_, folder, trains) => {
    await selectBackend('wasm');
    const dir = await folder();
    const reference = await traineeOf(dir, { trains });
    const [start, gradients] = [await ofTrainee(reference), await gradientsOf(reference)];
    reference.dispose();
    await selectBackend(backend);
    const before = tf.memory().numTensors;
    const trainee = await traineeOf(dir, { trains });
    expectClose(await ofTrainee(trainee), start, 1e-3, 'step 0');
    for (const [index, values] of (await gradientsOf(trainee)).entries()) {
      const largest = gradients[index]!.reduce((worst, value) => Math.max(worst, Math.abs(value)), 0);
      expectClose(values, gradients[index]!, 1e-6 + 1e-3 * largest, `gradient of ${trainee.parameters[index]!.name}`);
    }
    await trainSteps(trainee, 1);
    const saved = fresh();
    await trainee.save(saved, { metadata: {}, replace: false });
    expectClose(await ofFolder(saved), await ofTrainee(trainee), 1e-4, 'saved');
    trainee.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});
