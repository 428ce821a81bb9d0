import { existsSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { gptqOptionsSchema, type SchemeOverride } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { layerLinears } from '../../../../src-main/engine/model/parameters.ts';
import { Calibrator, type CalibratorOptions } from '../../../../src-main/engine/quantizers/calibrator.ts';
import { quantizeLayerGptq } from '../../../../src-main/engine/quantizers/gptq-layer.ts';
import { temporaryFolder } from '../model-folder.ts';
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

const options = gptqOptionsSchema.parse({ mseSearch: false });
const modulesAt = (index: number) => layerLinears.map((name) => `model.layers.${index}.${name}`);

/** Codes of both layers, and the hidden states after the first. */
async function quantizeByGptq(overrides: SchemeOverride[], settings: CalibratorOptions) {
  const model = tinyModel('qwen3, grouped queries');
  const calibrator = await Calibrator.start(model, longSamples, settings);
  const map = { scheme: parseScheme('W4G16'), overrides };
  const context = { model, map, options, onLinear: () => undefined, onNote: () => undefined };
  const linears = await quantizeLayerGptq(0, calibrator, context);
  await calibrator.advance(0);
  const states: Float32Array[] = [];
  await calibrator.forEachBatch(async (input) => void states.push((await input.data<'float32'>()).slice()));
  linears.push(...(await quantizeLayerGptq(1, calibrator, context)));
  await calibrator.dispose();
  const whole = tf.tidy(() =>
    model
      .layer(0, model.embed(tf.tensor2d([...longSamples[0]!], [1, 20], 'int32')))
      .dataSync<'float32'>()
      .slice(),
  );
  expect(states[0]!.slice(0, whole.length)).toEqual(whole);
  model.dispose();
  return { linears: linears.map(({ module, packed }) => [module, packed]), states };
}

const longSamples = Array.from({ length: 230 }, (_, row) => Int32Array.from({ length: 20 }, (_, i) => (7 * row + i * i) % 41));

it.each([
  ['nothing', []],
  ['the output projection', [{ pattern: '*o_proj', scheme: null }]],
  [
    'gate and up',
    [
      { pattern: '*.gate_proj', scheme: null },
      { pattern: '*.up_proj', scheme: null },
    ],
  ],
  ['down', [{ pattern: '*.down_proj', scheme: null }]],
  ['the MLP', [{ pattern: '*.mlp.*', scheme: null }]],
  [
    'all but the values',
    modulesAt(0)
      .filter((name) => !name.endsWith('v_proj'))
      .map((pattern) => ({ pattern, scheme: null })),
  ],
] satisfies [string, SchemeOverride[]][])(
  'leaving out %s gives the same whether inner activations are kept, computed again or on disk',
  async (_, overrides) => {
    await selectBackend('wasm');
    const before = tf.memory().numTensors;
    const kept = await quantizeByGptq(overrides, {});
    expect(await quantizeByGptq(overrides, { keptBytes: 0 })).toEqual(kept);
    const spillDir = await temporaryFolder();
    expect(await quantizeByGptq(overrides, { spillDir })).toEqual(kept);
    expect(readdirSync(spillDir)).toEqual([]);
    expect(tf.memory().numTensors).toBe(before);
  },
);

it.runIf(existsSync('/dev/full'))('names the file when the disk is full', async () => {
  await selectBackend('wasm');
  const dir = await temporaryFolder();
  symlinkSync('/dev/full', join(dir, 'hidden-0'));
  const model = tinyModel('qwen3, grouped queries');
  await expect(Calibrator.start(model, longSamples, { spillDir: dir })).rejects.toMatchObject({
    code: 'disk-full',
    message: expect.stringContaining(join(dir, 'hidden-0')),
  });
  model.dispose();
});
