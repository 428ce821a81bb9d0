/**
 * Gradients of every trainable path against central differences of the whole loss. Rounding has no slope of its own, so what the
 * straight-through estimator says is compared with the loss as a function of what it lets through.
 */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseScheme } from '#contract/scheme.ts';
import { selectBackend } from '../../../../../src-main/engine/backends/select.ts';
import type { LanguageModel } from '../../../../../src-main/engine/model/language-model.ts';
import type { Trainee } from '../../../../../src-main/engine/training/index.ts';
import { goldenModel } from '../../../../golden/fixtures.ts';
import { testBackend, valuesOf } from '../../../../support/test-backend.ts';
import { dot, gradientsOf, measuredSlope, quantizedFolder, traineeOf } from './support.ts';

beforeAll(async () => {
  await selectBackend(testBackend);
});

const dense = goldenModel('qwen3-tied').dir;

/** Every parameter's gradient along a random direction against the measured slope. */
async function expectSlopes(trainee: Trainee, options: Parameters<typeof measuredSlope>[2] & { names?: RegExp; tolerance?: number }) {
  const { names = /./, tolerance = 0.02, ...rest } = options;
  const gradients = await gradientsOf(trainee, rest.dropoutSeed ?? null);
  let checked = 0;
  for (const { name } of trainee.parameters) {
    if (!names.test(name)) continue;
    const { measured, direction } = await measuredSlope(trainee, name, rest);
    const slope = dot(gradients.get(name)!, direction);
    expect(Math.abs(slope - measured), `${name}: gradient ${slope}, difference ${measured}`).toBeLessThan(
      2e-3 + tolerance * Math.abs(measured),
    );
    checked++;
  }
  expect(checked).toBeGreaterThan(0);
}

describe('fake-quantized weights', () => {
  /**
   * With w = s · (code − zero) + remainder the estimator is exact for the loss in the rounded weight itself: moving the rounded weight moves
   * the loss by what the latent weight is told.
   */
  it('pass on the gradient in the rounded weight, to parameters beside them the true one', async () => {
    const trainee = await traineeOf(dense, { trains: { kind: 'quantized', scheme: parseScheme('W4G16') } });
    const gradients = await gradientsOf(trainee);
    const { model } = await trainee.generationModel();
    for (const name of ['model.layers.0.self_attn.q_proj.weight', 'model.layers.1.mlp.down_proj.weight']) {
      const { measured, direction } = await slopeInPlace(trainee, model, name);
      const slope = dot(gradients.get(name)!, direction);
      expect(Math.abs(slope - measured), `${name}: ${slope}, ${measured}`).toBeLessThan(2e-3 + 0.02 * Math.abs(measured));
      expect(Math.abs(slope)).toBeGreaterThan(1e-3);
    }
    await expectSlopes(trainee, { names: /norm|embed/, refresh: false });
    trainee.dispose();
  });

  it('in a ramp, pass on the gradient in the mixture; before it they are plain weights', async () => {
    const quantizationStart = { kind: 'ramp', from: 0, to: 4 };
    const trainee = await traineeOf(dense, { trains: { kind: 'quantized', scheme: parseScheme('W2G16') }, quantizationStart });
    await expectSlopes(trainee, { names: /proj|norm|embed/ });
    await trainee.beginStep(2);
    const gradients = await gradientsOf(trainee);
    const { model } = await trainee.generationModel();
    const name = 'model.layers.0.self_attn.v_proj.weight';
    const { measured, direction } = await slopeInPlace(trainee, model, name);
    const slope = dot(gradients.get(name)!, direction);
    expect(Math.abs(slope - measured), `${slope}, ${measured}`).toBeLessThan(2e-3 + 0.02 * Math.abs(measured));
    trainee.dispose();
  });
});

/** The slope of the loss in what the model computes with, along a random direction. */
async function slopeInPlace(trainee: Trainee, model: LanguageModel, name: string) {
  const leaf = model.parameter(name);
  const proxy: Trainee = {
    ...{ config: trainee.config, notes: [], headWeight: () => trainee.headWeight() },
    parameters: [{ name, variable: leaf as unknown as tf.Variable, decays: true, rate: 'weights' }],
    beginStep: async () => {},
    leaves: () => [leaf],
    parameterGradients: async (gradients) => gradients,
    forward: (ids, pass) => trainee.forward(ids, pass),
    generationModel: () => trainee.generationModel(),
    save: (dir, options) => trainee.save(dir, options),
    dispose: () => {},
  };
  const original = await valuesOf(leaf);
  const replace = (value: tf.Tensor) => {
    model.parameters.get(name)?.dispose();
    model.parameters.set(name, tf.keep(tf.clone(value)));
  };
  const variable = Object.assign(Object.create(leaf) as object, {
    size: leaf.size,
    shape: leaf.shape,
    data: async () => original,
    assign: replace,
  });
  (proxy.parameters[0] as { variable: unknown }).variable = variable;
  return measuredSlope(proxy, name, { refresh: false });
}

describe('low-rank updates', () => {
  it.each([
    ['an NF4 base', () => quantizedFolder('nf4', 'NF4:double')],
    ['an integer base', () => quantizedFolder('rtn', 'W4G16')],
    ['a float base', async () => dense],
  ])('over %s, with dropout', async (_, folder) => {
    const trainee = await traineeOf(await folder(), { trains: { kind: 'lora', rank: 4, alpha: 8, dropout: 0.3 } });
    // B starts at zero, where A has no gradient.
    for (const { name, variable } of trainee.parameters)
      if (name.includes('lora_B')) variable.assign(tf.randomNormal(variable.shape, 0, 0.1, 'float32', 3));
    await expectSlopes(trainee, { dropoutSeed: 11, step: 4e-3 });
    trainee.dispose();
  });
});
