/** Fake-quantized training: where it starts from, what it computes with, and what it saves. */
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseScheme } from '#contract/scheme.ts';
import { selectBackend } from '../../../../../src-main/engine/backends/select.ts';
import { dequantizeLinear } from '../../../../../src-main/engine/formats/packed-linear.ts';
import { latentsFile } from '../../../../../src-main/engine/formats/quantized-checkpoint.ts';
import { readTrainingStart } from '../../../../../src-main/engine/training/start.ts';
import { LatentWeight } from '../../../../../src-main/engine/training/trainees/latent-weight.ts';
import { roundsToCodes } from '../../../../../src-main/engine/training/trainees/latents.ts';
import { goldenModel } from '../../../../golden/fixtures.ts';
import { testBackend, valuesOf } from '../../../../support/test-backend.ts';
import {
  expectSameBits,
  folderLogits,
  fresh,
  gradientsOf,
  largestDifference,
  modelLogits,
  quantizedFolder,
  traineeLogits,
  traineeOf,
  trainSteps,
} from './support.ts';

beforeAll(async () => {
  await selectBackend(testBackend);
});

const quantized = (more: object = {}) => ({ trains: { kind: 'quantized', ...more } });
const saving = { metadata: {}, replace: false };

describe('the start', () => {
  it.each([
    ['GPTQ with latents', 'gptq', 'W3G16', { keepLatents: true }, 'saved beside the codes'],
    ['GPTQ in act-order', 'gptq', 'W4G16', { keepLatents: true, actOrder: true, staticGroups: false }, 'saved beside the codes'],
    ['GPTQ in act-order, symmetric', 'gptq', 'W3G16:sym', { keepLatents: true, actOrder: true }, 'saved beside the codes'],
    ['GPTQ without latents', 'gptq', 'W3G16', {}, 'dequantized codes'],
    ['RTN', 'rtn', 'W3G16', {}, 'base model'],
    ['RTN, symmetric rows with quantized activations, keys and values', 'rtn', 'W4A4KV4', {}, 'base model'],
    ['RTN with a range search', 'rtn', 'W2G16', { mseSearch: true }, 'base model'],
    ['AWQ', 'awq', 'W4G16', {}, 'dequantized codes'],
    ['QuaRot', 'quarot', 'W4A4KV4', {}, 'dequantized codes'],
  ] as const)('with frozen scales, step 0 of %s is the quantized model, bit for bit', async (_, method, scheme, options, source) => {
    const dir = await quantizedFolder(method, scheme, options);
    const expected = await folderLogits(dir);
    const before = tf.memory().numTensors;
    const trainee = await traineeOf(dir, quantized({ scales: 'frozen' }));
    expectSameBits(await traineeLogits(trainee), expected, 'step 0');
    expect(trainee.notes.join()).toContain(source);
    const saved = fresh();
    await trainee.save(saved, saving);
    expectSameBits(await folderLogits(saved), expected, 'saved');
    trainee.dispose();
    expect(tf.memory().numTensors).toBe(before);
    expect((await readTrainingStart(saved)).schemes).toEqual((await readTrainingStart(dir)).schemes);
  });

  it('live scales of a float model are those of round-to-nearest, bit for bit', async () => {
    for (const scheme of ['W3G16', 'W4:sym', 'W4A4KV4', 'W2G16:sym']) {
      const rounded = await folderLogits(await quantizedFolder('rtn', scheme));
      for (const scales of ['live', 'frozen']) {
        const trainee = await traineeOf(goldenModel('qwen3-tied').dir, quantized({ scheme: parseScheme(scheme), scales }));
        expectSameBits(await traineeLogits(trainee), rounded, `${scheme} ${scales}`);
        trainee.dispose();
      }
    }
  });

  it('starts from models with biases and untied heads', async () => {
    const dir = await quantizedFolder('gptq', 'W3G16', { keepLatents: true }, { base: 'qwen2-bias' });
    const trainee = await traineeOf(dir, quantized({ scales: 'frozen' }), 'qwen2-bias');
    expectSameBits(await traineeLogits(trainee), await folderLogits(dir), 'step 0');
    expect(trainee.parameters.some(({ name }) => name.endsWith('q_proj.bias'))).toBe(true);
    trainee.dispose();
  });

  it('refuses latents that are not those of the codes, and goes on from them with live scales', async () => {
    const dir = await quantizedFolder('gptq', 'W3G16', { keepLatents: true });
    const other = await traineeOf(dir, quantized({ scales: 'live' }));
    await trainSteps(other, 3);
    const saved = fresh();
    await other.save(saved, saving);
    other.dispose();
    await cp(join(saved, latentsFile), join(dir, latentsFile));
    await expect(traineeOf(dir, quantized({ scales: 'frozen' }))).rejects.toThrow(/do not round to the stored codes/);
    (await traineeOf(dir, quantized({ scales: 'live' }))).dispose();
    await rm(join(dir, latentsFile));
    (await traineeOf(dir, quantized({ scales: 'frozen' }))).dispose();
  });
});

it('keeps groups that act-order scattered', async () => {
  const dir = await quantizedFolder('gptq', 'W4G16', { keepLatents: true, actOrder: true, staticGroups: false });
  const { schemes } = await readTrainingStart(dir);
  expect([...schemes.values()].some((scheme) => scheme.coding === 'integer' && scheme.hasGroupIndex)).toBe(true);
});

describe('training', () => {
  it.each([
    ['live', 'W3G16', {}],
    ['frozen', 'W3G16', {}],
    ['live', 'W4:sym', { perTensor: true }],
    ['live', 'W3G16', { modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj'] }],
    ['live', 'W4A4KV4', { others: 'frozen' }],
  ] as const)('with %s scales in %s (%o) learns, and what is saved computes exactly what was trained', async (scales, scheme, more) => {
    const before = tf.memory().numTensors;
    const trainee = await traineeOf(goldenModel('qwen3-tied').dir, quantized({ scheme: parseScheme(scheme), scales, ...more }));
    const losses = await trainSteps(trainee, 8);
    expect(losses.at(-1)!).toBeLessThan(losses[0]! - 0.1);
    const now = await traineeLogits(trainee);
    const dir = fresh();
    const { quantizedBytes, bitsPerWeight, checkpoint } = await trainee.save(dir, saving);
    expectSameBits(await folderLogits(dir), now, 'saved');
    const { model, release } = await trainee.generationModel();
    expectSameBits(await modelLogits(model), now, 'generation');
    release();
    trainee.dispose();
    expect(tf.memory().numTensors).toBe(before);
    expect(quantizedBytes!).toBeLessThan(checkpoint.weightBytes);
    expect(bitsPerWeight!).toBeGreaterThan(3);
    expect(bitsPerWeight!).toBeLessThan(6);
    const { schemes } = await readTrainingStart(dir);
    expect(schemes.size).toBe('modules' in more ? 4 * trainee.config.layers : 7 * trainee.config.layers);
  });

  it('goes on from its own latents, in the same scales, where the stage before stopped', async () => {
    const start = await quantizedFolder('gptq', 'W3G16', { keepLatents: true });
    for (const scales of ['frozen', 'live']) {
      const trainee = await traineeOf(start, quantized({ scales }));
      await trainSteps(trainee, 4);
      const dir = fresh();
      await trainee.save(dir, saving);
      const next = await traineeOf(dir, quantized({ scales }));
      expect(next.notes.join()).toContain(latentsFile);
      expectSameBits(await traineeLogits(next), await traineeLogits(trainee), scales);
      for (const [index, { name, variable }] of trainee.parameters.entries()) {
        expect(next.parameters[index]!.name).toBe(name);
        expectSameBits(await valuesOf(next.parameters[index]!.variable), await valuesOf(variable), name);
      }
      trainee.dispose();
      next.dispose();
    }
  });

  it('leaves embeddings, norms and head alone when they are frozen', async () => {
    const trainee = await traineeOf(goldenModel('qwen3-tied').dir, quantized({ scheme: parseScheme('W3G16'), others: 'frozen' }));
    expect(trainee.parameters.every(({ name }) => name.endsWith('_proj.weight'))).toBe(true);
    trainee.dispose();
  });
});

describe('the beginning of quantization', () => {
  const settings = (quantizationStart: object) => ({ ...quantized({ scheme: parseScheme('W2G16A4') }), quantizationStart });
  const float = () => folderLogits(goldenModel('qwen3-tied').dir);

  it('at a step: float before, quantized from then on', async () => {
    const trainee = await traineeOf(goldenModel('qwen3-tied').dir, settings({ kind: 'step', step: 3 }));
    expectSameBits(await traineeLogits(trainee), await float(), 'step 0');
    await trainee.beginStep(2);
    expectSameBits(await traineeLogits(trainee), await float(), 'step 2');
    await trainee.beginStep(3);
    expectSameBits(await traineeLogits(trainee), await folderLogits(await quantizedFolder('rtn', 'W2G16A4')), 'step 3');
    trainee.dispose();
  });

  it('in a ramp: mixed weights, then activations too', async () => {
    const trainee = await traineeOf(goldenModel('qwen3-tied').dir, settings({ kind: 'ramp', from: 2, to: 6 }));
    expectSameBits(await traineeLogits(trainee), await float(), 'step 0');
    const distances: number[] = [];
    for (const step of [3, 4, 5]) {
      await trainee.beginStep(step);
      distances.push(largestDifference(await traineeLogits(trainee), await float()));
      const { model } = await trainee.generationModel();
      expect(model.activationOps(0)).toBeNull();
    }
    expect(distances[0]!).toBeGreaterThan(0);
    expect(distances[2]!).toBeGreaterThan(distances[0]!);
    await trainee.beginStep(6);
    const { model } = await trainee.generationModel();
    expect(model.activationOps(0)!.settings.attentionInput.quantizer?.bits).toBe(4);
    trainee.dispose();
  });

  it('saves the wholly quantized model, and says so, when training ends within the ramp', async () => {
    const trainee = await traineeOf(goldenModel('qwen3-tied').dir, settings({ kind: 'ramp', from: 0, to: 10 }));
    await trainSteps(trainee, 4);
    const dir = fresh();
    await trainee.save(dir, saving);
    expect(trainee.notes.join()).toContain('share of quantization of 0.4');
    await trainee.beginStep(10);
    expectSameBits(await folderLogits(dir), await traineeLogits(trainee), 'saved');
    trainee.dispose();
  });
});

describe('a latent weight', () => {
  const grid = { bits: 3, symmetric: true, groupSize: 5, groupIndex: null, perTensor: false } as const;
  const values = [-1.6, -1.2, 0.2, 0.999, 1.01];

  it('stops the gradient where the frozen grid ends: −1.6 at a scale of 1/3', async () => {
    const latent = new LatentWeight('m', tf.tensor2d([values]), grid);
    await latent.freeze({ scales: Float32Array.of(1 / 3), zeros: Uint8Array.of(4) });
    expect([...(await latent.gradient(tf.ones([1, 5]), 1).data())]).toEqual([0, 1, 1, 1, 0]);
    expect([...(await latent.gradient(tf.ones([1, 5]), 0.25).data())]).toEqual([0.75, 1, 1, 1, 0.75]);
    latent.dispose();
  });

  it('mixes weight and rounded weight, and passes all of the gradient of live scales', async () => {
    const latent = new LatentWeight('m', tf.tensor2d([values]), grid);
    const [rounded, half] = [await valuesOf(latent.mixed(1)), await valuesOf(latent.mixed(0.5))];
    half.forEach((value, i) => {
      expect(value).toBeCloseTo((values[i]! + rounded[i]!) / 2, 6);
    });
    expect([...(await latent.gradient(tf.fill([1, 5], 2), 1).data())]).toEqual([2, 2, 2, 2, 2]);
    latent.dispose();
  });

  it('knows scattered and short groups', async () => {
    const weight = Float32Array.from({ length: 2 * 7 }, (_, i) => Math.sin(3 * i + 1));
    const groupIndex = Int32Array.of(0, 2, 1, 0, 0, 1, 1);
    const scattered = { bits: 3, symmetric: false, groupSize: 3, groupIndex, perTensor: false } as const;
    const latent = new LatentWeight('m', tf.tensor2d(weight, [2, 7]), scattered);
    const live = await latent.stored();
    expect([...dequantizeLinear(live)]).toEqual([...(await latent.mixed(1).data())]);
    expect(roundsToCodes(weight, live)).toBe(true);
    // Input 1 is alone in its group: rounded to one end of its own range.
    expect(live.scales[2]).toBeCloseTo(Math.abs(weight[1]!) / 7, 3);
    await latent.freeze(live);
    const moved = weight.map((value) => 1.3 * value);
    latent.variable.assign(tf.tensor2d(moved, [2, 7]));
    const frozen = await latent.stored();
    expect(frozen.scales).toEqual(live.scales);
    expect(frozen.codes).not.toEqual(live.codes);
    expect(roundsToCodes(moved, frozen)).toBe(true);
    const gradient = await valuesOf(latent.gradient(tf.ones([2, 7]), 1));
    moved.forEach((value, i) => {
      const group = 3 * Math.floor(i / 7) + groupIndex[i % 7]!;
      const code = Math.fround(value / live.scales[group]!) + live.zeros[group]!;
      expect(gradient[i], `${i}`).toBe(code >= 0 && code <= 7 ? 1 : 0);
    });
    expect(gradient).toContain(0);
    latent.dispose();
  });

  it('counts dead scales as a mistake', async () => {
    const latent = new LatentWeight('model.layers.0.mlp.up_proj', tf.tensor2d([values]), grid);
    await expect(latent.freeze({ scales: Float32Array.of(0), zeros: Uint8Array.of(4) })).rejects.toThrow(/up_proj has a scale of 0/);
    latent.dispose();
  });
});

describe('bad starts are refused by name', () => {
  const dense = () => goldenModel('qwen3-tied').dir;

  it.each([
    ['NF4', () => quantizedFolder('nf4', 'NF4'), {}, /stored as NF4/],
    ['LLM.int8()', () => quantizedFolder('int8', 'INT8'), {}, /LLM\.int8\(\)/],
    ['no scheme', async () => dense(), {}, /names no scheme/],
    ['a group size that divides nothing', async () => dense(), { scheme: parseScheme('W3G7') }, /does not divide/],
    ['another scheme', () => quantizedFolder('rtn', 'W3G16'), { scheme: parseScheme('W4G16') }, /trains in W4G16, but .* 3 bits/],
    [
      'frozen scales per matrix',
      () => quantizedFolder('rtn', 'W4:sym'),
      { scales: 'frozen', perTensor: true, scheme: parseScheme('W4:sym') },
      /no scale per matrix/,
    ],
    [
      'modules that are float',
      () => quantizedFolder('rtn', 'W3G16', {}, { overrides: [{ pattern: 'down_proj', scheme: null }] }),
      { modules: ['down_proj'] },
      /is quantized in this model/,
    ],
  ] as const)('%s', async (_, folder, more, message) => {
    const dir = await folder();
    const before = tf.memory().numTensors;
    await expect(traineeOf(dir, quantized(more))).rejects.toThrow(message);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('plain weights of a quantized model, and transforms of a model without', async () => {
    const dir = await quantizedFolder('rtn', 'W3G16');
    await expect(traineeOf(dir, { trains: { kind: 'weights' } })).rejects.toThrow(/is quantized .* cannot be trained as they are/);
    await expect(traineeOf(dir, { trains: { kind: 'flatquant' } })).rejects.toThrow(/no transforms of FlatQuant/);
    await expect(traineeOf(dense(), { trains: { kind: 'flatquant' } })).rejects.toThrow(/no transforms of FlatQuant/);
  });
});

it('recomputes layers in the backward pass without changing a gradient', async () => {
  const source = goldenModel('qwen3-tied').dir;
  const settings = quantized({ scheme: parseScheme('W3G16') });
  const plain = await traineeOf(source, settings);
  const checkpointing = await traineeOf(source, { ...settings, activationCheckpointing: true });
  const [expected, actual] = [await gradientsOf(plain), await gradientsOf(checkpointing)];
  for (const [name, values] of expected) expectSameBits(actual.get(name)!, values, name);
  plain.dispose();
  checkpointing.dispose();
});
