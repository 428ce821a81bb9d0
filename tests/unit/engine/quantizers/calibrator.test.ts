import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { Calibrator } from '../../../../src-main/engine/quantizers/calibrator.ts';
import { tinyModel } from '../rollouts/tiny-models.ts';

it('gathers inputs and float outputs of a layer by sample, across batches', async () => {
  await selectBackend('wasm');
  const before = tf.memory().numTensors;
  const model = tinyModel('qwen3, grouped queries');
  // More tokens than go through a layer at once.
  const samples = Array.from({ length: 230 }, (_, row) => Int32Array.from({ length: 20 }, (_, i) => (7 * row + i * i) % 41));
  const calibrator = await Calibrator.start(model, samples);
  await calibrator.computeOutputs(0);
  expect(calibrator.samples).toBe(230);
  const { input, output } = await calibrator.gather([229, 3]);
  const expected = tf.tidy(() => {
    const embedded = model.embed(tf.tensor2d([...samples[229]!, ...samples[3]!], [2, 20], 'int32'));
    return [tf.clone(embedded), model.layer(0, embedded)];
  });
  expect(await input.data()).toEqual(await expected[0]!.data());
  expect(await output.data()).toEqual(await expected[1]!.data());
  tf.dispose([input, output, ...expected]);
  await calibrator.dispose();
  model.dispose();
  expect(tf.memory().numTensors).toBe(before);
});
