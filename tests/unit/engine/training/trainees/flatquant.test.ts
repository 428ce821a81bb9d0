/** FlatQuant trained network-wide: starts, gradients of all three groups, folding and saving. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { quantizeStageSchema, type StageOf } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { selectBackend } from '../../../../../src-main/engine/backends/select.ts';
import { trainedFile } from '../../../../../src-main/engine/formats/quantized-checkpoint.ts';
import { createRandomModel } from '../../../../../src-main/engine/model/init.ts';
import { inputSites } from '../../../../../src-main/engine/model/layer-activations.ts';
import { layerLinears } from '../../../../../src-main/engine/model/parameters.ts';
import { diagonalSites, planLayer } from '../../../../../src-main/engine/quantizers/flatquant/layer-plan.ts';
import { Trainables } from '../../../../../src-main/engine/quantizers/flatquant/trainables.ts';
import { readTrainingStart } from '../../../../../src-main/engine/training/start.ts';
import { FlatquantTrainee } from '../../../../../src-main/engine/training/trainees/flatquant.ts';
import { testBackend, valuesOf } from '../../../../support/test-backend.ts';
import { tinyConfig } from '../tiny.ts';
import {
  dot,
  expectSameBits,
  folderLogits,
  fresh,
  gradientsOf,
  largestDifference,
  measuredSlope,
  modelLogits,
  quantizedFolder,
  traineeLogits,
  traineeOf,
  trainSteps,
} from './support.ts';

beforeAll(async () => {
  await selectBackend(testBackend);
});

const settings = { trains: { kind: 'flatquant' } };
const saving = { metadata: {}, replace: false };
/** Few epochs: what matters is that transforms and clip factors have left where they start. */
const quick = { epochs: 2, batchSize: 2 };

const starts = [
  ['W4A4KV4', 'qwen3-tied', {}, {}],
  ['W3G16A8', 'qwen3-tied', {}, {}],
  ['W4A4KV4', 'qwen2-bias', {}, {}],
  ['W4G16', 'qwen3-tied', {}, { overrides: [{ pattern: 'layers.0.*', scheme: null }] }],
  ['W4A4', 'qwen3-tied', {}, { overrides: [{ pattern: 'down_proj', scheme: null }] }],
] as const;

describe.each(starts)('from %s of %s (%o, %o)', (scheme, base, options, more) => {
  it('step 0 is the checkpoint, bit for bit, trained or saved again or generated with', async () => {
    const dir = await quantizedFolder('flatquant', scheme, { ...quick, ...options }, { base, ...more });
    const expected = await folderLogits(dir);
    const before = tf.memory().numTensors;
    const trainee = await traineeOf(dir, settings, base);
    expectSameBits(await traineeLogits(trainee), expected, 'step 0');
    const { model, release } = await trainee.generationModel();
    expectSameBits(await modelLogits(model), expected, 'generation');
    release();
    const saved = fresh();
    await trainee.save(saved, saving);
    expectSameBits(await folderLogits(saved), expected, 'saved');
    expect((await readTrainingStart(saved)).schemes).toEqual((await readTrainingStart(dir)).schemes);
    trainee.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('training', () => {
  it('learns in all three groups; what is saved computes what was trained, and training goes on from it', async () => {
    const dir = await quantizedFolder('flatquant', 'W3A4KV4', quick);
    const before = tf.memory().numTensors;
    const trainee = await traineeOf(dir, settings);
    const start = await Promise.all(trainee.parameters.map(({ variable }) => valuesOf(variable)));
    const losses = await trainSteps(trainee, 8);
    expect(losses.at(-1)!).toBeLessThan(losses[0]! - 0.1);
    expect(new Set(trainee.parameters.map(({ rate }) => rate))).toEqual(new Set(['weights', 'transforms', 'clips']));
    for (const [index, { name, variable }] of trainee.parameters.entries())
      expect(largestDifference(await valuesOf(variable), start[index]!), name).toBeGreaterThan(0);
    const logits = await traineeLogits(trainee);
    const saved = fresh();
    const { quantizedBytes, bitsPerWeight } = await trainee.save(saved, saving);
    expectSameBits(await folderLogits(saved), logits, 'saved');
    expect(quantizedBytes!).toBeGreaterThan(0);
    expect(bitsPerWeight!).toBeGreaterThan(3);
    const next = await traineeOf(saved, settings);
    expectSameBits(await traineeLogits(next), logits, 'gone on from');
    for (const [index, { name, variable }] of trainee.parameters.entries()) {
      expect(next.parameters[index]!.name).toBe(name);
      expectSameBits(await valuesOf(next.parameters[index]!.variable), await valuesOf(variable), name);
    }
    next.dispose();
    trainee.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('recomputes layers without changing a gradient', async () => {
    const dir = await quantizedFolder('flatquant', 'W4A4KV4', quick);
    const trainees = [await traineeOf(dir, settings), await traineeOf(dir, { ...settings, activationCheckpointing: true })];
    const [expected, actual] = [await gradientsOf(trainees[0]!), await gradientsOf(trainees[1]!)];
    for (const [name, values] of expected) expectSameBits(actual.get(name)!, values, name);
    for (const trainee of trainees) trainee.dispose();
  });

  it('gives gradients that agree with finite differences in every parameter', async () => {
    // Where a value crosses the end of its grid the loss has a kink, so differences are taken over very small steps.
    const trainee = await fineGridTrainee();
    await trainee.beginStep();
    const gradients = await gradientsOf(trainee);
    for (const { name } of trainee.parameters) {
      const { measured, direction } = await measuredSlope(trainee, name, { step: 1.25e-4 });
      const slope = dot(gradients.get(name)!, direction);
      expect(Math.abs(slope - measured), `${name}: gradient ${slope}, difference ${measured}`).toBeLessThan(
        0.015 + 0.05 * Math.abs(measured),
      );
    }
    trainee.dispose();
  });
});

/**
 * Grids of 20 bits, fine enough for the loss to be smooth, whose ranges are clipped to 90 %, so that weights and activations lie outside: the
 * gradients of what is clipped, of the scales and of the factors are all at work. They are symmetric: an asymmetric grid's zero point counts
 * as a constant, which the true derivative of the clipped end is not (see the tests of the op).
 */
async function fineGridTrainee(): Promise<FlatquantTrainee> {
  const config = { ...tinyConfig, vocabSize: 60 };
  const model = createRandomModel(config, 2, { deviation: 0.3 });
  const scheme = parseScheme('W8A8KV8');
  const stage = quantizeStageSchema.parse({
    type: 'quantize',
    method: 'flatquant',
    scheme,
    calibration: { path: 'none', samples: 1, sequenceLength: 8, seed: 0 },
  });
  const making = Array.from({ length: config.layers }, async (_, index) => {
    const plan = planLayer(config, stage as StageOf<'flatquant'>, index);
    const fine = { bits: 20 as never };
    for (const name of layerLinears) plan.schemes[name] = { ...plan.schemes[name]!, ...fine };
    for (const site of [...inputSites, 'keys', 'values'] as const)
      plan.quantizers[site].quantizer = { ...plan.quantizers[site].quantizer!, ...fine, symmetric: true };
    const diagonals = new Map(
      diagonalSites.map((site) => {
        const [rows, columns] = plan.splits[site]!;
        return [site, Float64Array.from({ length: rows * columns }, (_, i) => 1 + 0.3 * Math.sin(i))];
      }),
    );
    const trainables = new Trainables(plan, config, { seed: index, parameterisation: 'direct' }, diagonals);
    const { raw, logits } = trainables.variables;
    trainables.assign(await valuesOf(raw), new Float32Array(logits.size).fill(Math.log(9)));
    return { plan, trainables };
  });
  return new FlatquantTrainee(model, await Promise.all(making), {
    activationCheckpointing: false,
    sourceDir: '',
    notes: [],
    halfScales: false,
  });
}

describe('bad starts are refused by name', () => {
  it('a base of another shape', async () => {
    const dir = await quantizedFolder('flatquant', 'W4A4KV4', quick);
    await expect(traineeOf(dir, settings, 'llama-sharded-bias')).rejects.toThrow(/of the shape of the model to train/);
  });

  it('transforms that are cut off', async () => {
    const dir = await quantizedFolder('flatquant', 'W4A4KV4', quick);
    const path = join(dir, trainedFile);
    const bytes = await readFile(path);
    const renamed = Buffer.from(bytes.toString('latin1').replace('layers.1.flatquant.keys', 'layers.1.flatquant.kexs'), 'latin1');
    await writeFile(path, renamed);
    const before = tf.memory().numTensors;
    await expect(traineeOf(dir, settings)).rejects.toThrow(/layers\.1\.flatquant\.keys is missing/);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('plain weights of a FlatQuant checkpoint', async () => {
    const dir = await quantizedFolder('flatquant', 'W4A4KV4', quick);
    await expect(traineeOf(dir, { trains: { kind: 'weights' } })).rejects.toThrow(/is quantized/);
  });
});
