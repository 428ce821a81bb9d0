import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../../src-main/engine/backends/select.ts';
import { RandomStream } from '../../../../../src-main/engine/data/random-stream.ts';
import { saveQuantizedCheckpoint, trainedFile } from '../../../../../src-main/engine/formats/quantized-checkpoint.ts';
import { dequantizeStored } from '../../../../../src-main/engine/formats/stored-linear.ts';
import { createRandomModel } from '../../../../../src-main/engine/model/init.ts';
import { decoderLinears, type LanguageModel } from '../../../../../src-main/engine/model/language-model.ts';
import { loadModel } from '../../../../../src-main/engine/model/load.ts';
import { linearShape } from '../../../../../src-main/engine/model/parameters.ts';
import { Calibrator } from '../../../../../src-main/engine/quantizers/calibrator.ts';
import { initialDiagonals } from '../../../../../src-main/engine/quantizers/flatquant/diagonals.ts';
import { foldLayer, roundToNearest } from '../../../../../src-main/engine/quantizers/flatquant/fold.ts';
import { clipShapes, planLayer, transformShapes } from '../../../../../src-main/engine/quantizers/flatquant/layer-plan.ts';
import { QuantizedLayer } from '../../../../../src-main/engine/quantizers/flatquant/quantized-layer.ts';
import { randomOrthogonal } from '../../../../../src-main/engine/quantizers/flatquant/small-matrix.ts';
import { disposeTensors, Trainables } from '../../../../../src-main/engine/quantizers/flatquant/trainables.ts';
import { type QuantizeOptions, quantizeModel } from '../../../../../src-main/engine/quantizers/quantize-model.ts';
import { quantizeStageSchema, type StageOf } from '../../../../../src-preload/contract/recipe.ts';
import { parseScheme } from '../../../../../src-preload/contract/scheme.ts';
import { type GoldenName, goldenModel } from '../../../../golden/fixtures.ts';
import { temporaryFolder } from '../../model-folder.ts';
import { testBackends } from '../../ops/op-check.ts';
import { type TinyName, tinyConfigs, tinyModel, tinyNames } from '../../rollouts/tiny-models.ts';

beforeAll(async () => {
  await selectBackend('wasm');
});

const samples = Array.from({ length: 10 }, (_, row) =>
  Int32Array.from({ length: 20 }, (_, i) => (row * 37 + i * i * 5 + ((i * row) % 7)) % 41),
);

function flatquant(scheme: string, options: object = {}, rest: object = {}): StageOf<'flatquant'> {
  const calibration = { path: 'unused.jsonl', samples: 8, sequenceLength: 16, seed: 1 };
  const stage = {
    type: 'quantize',
    method: 'flatquant',
    scheme: parseScheme(scheme),
    calibration,
    options: { epochs: 3, ...options },
    ...rest,
  };
  return quantizeStageSchema.parse(stage) as StageOf<'flatquant'>;
}

async function logitsOf(model: LanguageModel): Promise<Float32Array> {
  const logits = tf.tidy(() => model.logits(model.forward(tf.tensor2d([...samples[0]!], [1, 20], 'int32'))));
  const values = (await logits.data<'float32'>()).slice();
  logits.dispose();
  return values;
}

const largest = (values: Float32Array, other: Float32Array) =>
  values.reduce((max, value, i) => Math.max(max, Math.abs(value - other[i]!)), 0);

/** Trained values that no calibration chose: matrices and diagonals by `matrix` and `diagonal`, clip factors that clip nothing. */
function assigned(
  model: LanguageModel,
  stage: StageOf<'flatquant'>,
  index: number,
  matrix: (size: number, name: string) => ArrayLike<number>,
  diagonal: (size: number) => number[],
) {
  const plan = planLayer(model.config, stage, index);
  const shapes = transformShapes(plan);
  const diagonals = new Map(shapes.map(({ name, size }) => [name.split('.')[0]!, new Float64Array(size).fill(1)]));
  for (const { name, size, kind } of shapes) if (kind === 'diagonal') diagonals.set(name.split('.')[0]!, new Float64Array(size).fill(1));
  const trainables = new Trainables(plan, model.config, stage.options, diagonals);
  const raw = shapes.flatMap(({ name, size, kind }) => [...(kind === 'matrix' ? Array.from(matrix(size, name)) : diagonal(size))]);
  const clips = clipShapes(plan, model.config).reduce((sum, { size }) => sum + size, 0);
  trainables.assign(Float32Array.from(raw), new Float32Array(clips).fill(40));
  return { plan, trainables };
}

/** Invertible, not orthogonal, with diagonals of both signs. */
function anyTransforms(model: LanguageModel, stage: StageOf<'flatquant'>, index: number) {
  const stream = new RandomStream(3, `layer ${index}`);
  const matrix = (size: number, name: string) => {
    const noise = stream.fork(`noise ${name}`);
    return randomOrthogonal(size, stream.fork(name)).map((value) => 1.3 * value + (0.3 / Math.sqrt(size)) * noise.normal());
  };
  const signs = stream.fork('diagonals');
  return assigned(model, stage, index, matrix, (size) =>
    Array.from({ length: size }, () => (signs.uniform() < 0.2 ? -1 : 1) * (0.5 + signs.uniform())),
  );
}

const identityMatrix = (size: number) => Array.from({ length: size * size }, (_, i) => Number(i % (size + 1) === 0));

/** Any transforms, as trained and as folded, against the model as it was. */
async function expectUnchanged(model: LanguageModel): Promise<void> {
  const stage = flatquant('W4A4KV4');
  const expected = await logitsOf(model);
  for (let index = 0; index < model.config.layers; index++) {
    const { plan, trainables } = anyTransforms(model, stage, index);
    const layer = new QuantizedLayer(model, plan);
    const tensors = await trainables.tensors();
    const hidden = tf.randomNormal([2, 7, model.config.hiddenSize], 0, 1, 'float32', 7) as tf.Tensor3D;
    const [original, transformed] = tf.tidy(() => [model.layer(index, hidden), layer.forward(hidden, tensors, false)]);
    expect(largest(await transformed.data<'float32'>(), await original.data<'float32'>())).toBeLessThan(1e-4);
    const { activations } = await foldLayer(model, plan, layer, trainables);
    expect(activations.attentionOutput.transform?.left?.length).toBe(model.config.heads ** 2);
    tf.dispose([hidden, original, transformed]);
    disposeTensors(tensors);
    layer.dispose();
    trainables.dispose();
  }
  expect(largest(await logitsOf(model), expected)).toBeLessThan(1e-4);
}

/** One layer: a software adapter spends seconds compiling the shaders of every new shape. */
const smallModel = () => createRandomModel({ ...tinyConfigs['qwen3, grouped queries'], layers: 1 }, 1, { deviation: 0.25 });

describe.each(testBackends)('without quantizers on %s', (backend) => {
  it.each(backend === 'wasm' ? tinyNames : tinyNames.slice(0, 1))(
    '%s computes the same under any invertible transforms, as trained and as folded',
    async (name: TinyName) => {
      await selectBackend(backend);
      const before = tf.memory().numTensors;
      const model = backend === 'wasm' ? tinyModel(name) : smallModel();
      await expectUnchanged(model);
      model.dispose();
      expect(tf.memory().numTensors).toBe(before);
      await selectBackend('wasm');
    },
  );
});

describe.each(testBackends)('the start on %s', (backend) => {
  it('has diagonals max|w|^(1−α) / max|x|^α, orthogonal matrices and clip factors of σ(4)', async () => {
    await selectBackend(backend);
    const before = tf.memory().numTensors;
    const model = smallModel();
    const stage = flatquant('W4A4KV4');
    const calibrator = await Calibrator.start(
      model,
      samples.slice(0, 2).map((sample) => sample.slice(0, 8)),
    );
    const plan = planLayer(model.config, stage, 0);
    const diagonals = await initialDiagonals(model, plan, calibrator, 0.3);
    const seen: tf.Tensor[] = [];
    const onLinearInput = (module: string, x: tf.Tensor) => {
      if (module.endsWith('gate_proj')) seen.push(tf.keep(tf.clone(x)));
    };
    await calibrator.computeOutputs(0, { onLinearInput });
    const inputs = (await Promise.all(seen.map((x) => x.data<'float32'>()))).flatMap((values) => [...values]);
    tf.dispose(seen);
    const weights = await Promise.all(
      ['gate_proj', 'up_proj'].map((name) => model.parameter(`model.layers.0.mlp.${name}.weight`).data<'float32'>()),
    );
    const size = model.config.hiddenSize;
    const largestOf = (all: ArrayLike<number>, column: number) => {
      let most = 0;
      for (let i = column; i < all.length; i += size) most = Math.max(most, Math.abs(all[i]!));
      return most;
    };
    for (const [column, value] of diagonals.get('mlpInput')!.entries()) {
      const weight = Math.max(...weights.map((values) => largestOf(values, column)));
      expect(value / (weight ** 0.7 / largestOf(inputs, column) ** 0.3)).toBeCloseTo(1, 4);
    }
    const trainables = new Trainables(plan, model.config, stage.options, diagonals);
    const tensors = await trainables.tensors();
    for (const factors of tensors.clips.values())
      for (const factor of await factors.data()) expect(factor).toBeCloseTo(1 / (1 + Math.exp(-4)), 6);
    for (const { name, kind } of transformShapes(plan)) {
      const { value, inverse } = tensors.transforms.get(name)!;
      if (kind === 'matrix') expect(largest(await value.data<'float32'>(), await inverse.data<'float32'>())).toBeLessThan(1e-6);
    }
    disposeTensors(tensors);
    trainables.dispose();
    await calibrator.dispose();
    model.dispose();
    expect(tf.memory().numTensors).toBe(before);
    await selectBackend('wasm');
  });
});

/** Rounds with transforms, diagonals and clip factors of one, and `plain` by rounding to nearest. */
async function expectPlainRounding(model: LanguageModel, plain: LanguageModel, scheme: string): Promise<void> {
  const stage = flatquant(scheme);
  const rtn = quantizeStageSchema.parse({ type: 'quantize', method: 'rtn', scheme: parseScheme(scheme) });
  const expected = await quantizeModel(plain, rtn);
  for (let index = 0; index < model.config.layers; index++) {
    const ones = (size: number) => new Array<number>(size).fill(1);
    const { plan, trainables } = assigned(model, stage, index, identityMatrix, ones);
    const layer = new QuantizedLayer(model, plan);
    const folded = await foldLayer(model, plan, layer, trainables);
    const ignore = () => {};
    const context = { model, stage, onLinear: ignore, onStep: ignore, onNote: ignore };
    for (const { module, packed } of await roundToNearest(plan, folded, context)) expect(packed).toEqual(expected.packed.get(module));
    const { quantizer } = folded.activations.keys;
    expect(quantizer).toEqual(expected.activations[index]?.keys.quantizer ?? null);
    model.setActivations(index, folded.activations);
    layer.dispose();
    trainables.dispose();
  }
  expect(largest(await logitsOf(model), await logitsOf(plain))).toBeLessThan(1e-6);
  model.dispose();
  plain.dispose();
}

describe('with transforms, diagonals and clip factors of one', () => {
  it.each(['W4A4KV4', 'W3G16A8KV3', 'W2:sym'])('%s is plain round-to-nearest', async (scheme) =>
    expectPlainRounding(await load('qwen2-bias'), await load('qwen2-bias'), scheme),
  );

  it.each(testBackends.filter((backend) => backend !== 'wasm'))('and so it is on %s', async (backend) => {
    await selectBackend(backend);
    await expectPlainRounding(smallModel(), smallModel(), 'W4A4KV4');
    await selectBackend('wasm');
  });
});

function load(name: GoldenName): Promise<LanguageModel> {
  return loadModel(goldenModel(name).dir);
}

async function quantized(name: GoldenName, stage: StageOf<'flatquant'>, options: QuantizeOptions = {}) {
  const model = await load(name);
  try {
    const result = await quantizeModel(model, stage, { samples, ...options });
    return { result, logits: await logitsOf(model) };
  } finally {
    model.dispose();
  }
}

/** Errors before and after calibration, by layer, from the notes. */
function course(notes: readonly string[]): [number, number][] {
  return notes.map((note) => {
    const [, before, after] = /mean squared error ([\d.e+-]+) before calibration, ([\d.e+-]+) after/.exec(note)!;
    return [Number(before), Number(after)];
  });
}

describe('calibration', () => {
  it.each([
    ['qwen3-tied', 'W3A4KV4', {}],
    ['qwen2-bias', 'W3G16', {}],
    ['qwen2-bias', 'W3A4KV4', { parameterisation: 'svd' }],
    ['llama-sharded-bias', 'W3A4KV4', { weights: 'gptq' }],
  ] as const)('of %s at %s with %j lowers the error of every layer and leaks nothing', async (name, scheme, options) => {
    const before = tf.memory().numTensors;
    const details: string[] = [];
    const { result } = await quantized(name, flatquant(scheme, options), { onProgress: ({ detail }) => void details.push(detail) });
    for (const [start, end] of course(result.notes)) expect(end).toBeLessThan(start);
    expect(result.notes).toHaveLength(2);
    expect(details).toContain('layer 1, epoch 3 of 3');
    expect(result.packed.size).toBe(14);
    for (const { outputError, outputErrorVsRtn, weightError } of result.layers) {
      expect(outputError).toBeGreaterThan(0);
      expect(weightError).toBeGreaterThan(0);
      expect(outputErrorVsRtn).toBeGreaterThan(0);
    }
    expect(tf.memory().numTensors).toBe(before);
  });

  it('is the same every time, and another one with another seed', async () => {
    const [first, again, other] = [
      await quantized('qwen3-tied', flatquant('W4A4KV4')),
      await quantized('qwen3-tied', flatquant('W4A4KV4')),
      await quantized('qwen3-tied', flatquant('W4A4KV4', { seed: 1 })),
    ];
    expect(again).toEqual(first);
    expect(other.result.activations).not.toEqual(first.result.activations);
  });

  it('can be cancelled between two steps', async () => {
    const before = tf.memory().numTensors;
    const controller = new AbortController();
    const onProgress = ({ detail }: { detail: string }) => {
      if (detail === 'layer 2, epoch 2 of 3') controller.abort();
    };
    const run = quantized('qwen3-tied', flatquant('W4A4KV4'), { signal: controller.signal, onProgress });
    await expect(run).rejects.toMatchObject({ code: 'cancelled' });
    expect(tf.memory().numTensors).toBe(before);
  });

  it('stops where the error is no longer a number, naming the layer', async () => {
    const run = quantized('qwen3-tied', flatquant('W4A4KV4', { learningRate: 1e30 }));
    await expect(run).rejects.toMatchObject({ code: 'numeric' });
  });
});

describe('the result', () => {
  it.each([
    ['qwen3-tied', 'W4A4KV4', 'rtn', []],
    ['qwen2-bias', 'W3G16A8KV4', 'gptq', []],
    [
      'llama-sharded-bias',
      'W4A4KV4',
      'rtn',
      [
        { pattern: '*.o_proj', scheme: null },
        { pattern: 'layers.0.mlp.*', scheme: null },
      ],
    ],
    [
      'qwen2-bias',
      'W4A4KV4',
      'rtn',
      [
        { pattern: '*.v_proj', scheme: null },
        { pattern: '*.up_proj', scheme: parseScheme('W8A8') },
      ],
    ],
  ] as const)('of %s at %s (%s, overrides %j) comes back from a checkpoint as it was', async (name, scheme, weights, overrides) => {
    const stage = flatquant(scheme, { epochs: 1, weights }, overrides.length > 0 ? { overrides } : {});
    const { result, logits } = await quantized(name, stage);
    const dir = join(await temporaryFolder(), 'out');
    const { packed, parameters, activations, trained } = result;
    await saveQuantizedCheckpoint(dir, { sourceDir: goldenModel(name).dir, quantized: packed, parameters, activations, trained });
    const reloaded = await loadModel(dir);
    expect(largest(await logitsOf(reloaded), logits)).toBe(0);
    reloaded.dispose();
    const bytes = await readFile(join(dir, trainedFile));
    const { __metadata__: _, ...header } = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE())));
    expect(Object.keys(header).toSorted()).toEqual([...trained.keys()].toSorted());
    expect([...trained.keys()]).toContain('model.layers.1.flatquant.attentionInput.diagonal');
  });

  it('leaves linears without a scheme in float, folded, and untouched where nothing of their site is quantized', async () => {
    const overrides = [
      { pattern: '*.v_proj', scheme: null },
      { pattern: '*.mlp.*', scheme: null },
    ];
    const model = await load('qwen2-bias');
    const result = await quantizeModel(model, flatquant('W4', { epochs: 1 }, { overrides }), { samples });
    expect([...result.packed.keys()]).toEqual(decoderLinears(model.config).filter((module) => /[qko]_proj$/.test(module)));
    const shape = linearShape(model.config, 'model.layers.0.self_attn.v_proj');
    expect(result.parameters.get('model.layers.0.self_attn.v_proj.weight')?.shape).toEqual(shape);
    expect([...result.parameters.keys()].filter((name) => /mlp|post_attention/.test(name))).toEqual([]);
    expect(result.activations[0]!.mlpInput.transform).toBeNull();
    expect(result.activations[0]!.attentionInput.transform).not.toBeNull();
    for (const packed of result.packed.values()) expect(dequantizeStored(packed).every(Number.isFinite)).toBe(true);
    model.dispose();
  });

  it('leaves a layer alone of which nothing is quantized', async () => {
    const { result } = await quantized(
      'qwen3-tied',
      flatquant('W4A4KV4', { epochs: 1 }, { overrides: [{ pattern: 'layers.0.*', scheme: null }] }),
    );
    expect(result.activations[0]).toBeNull();
    expect(result.activations[1]).not.toBeNull();
    for (const names of [result.packed, result.parameters, result.trained])
      expect([...names.keys()].every((name) => name.startsWith('model.layers.1.'))).toBe(true);
  });

  it('is refused for codings without a range to learn', async () => {
    await expect(quantized('qwen3-tied', { ...flatquant('W4'), scheme: parseScheme('NF4') })).rejects.toMatchObject({
      code: 'bad-input',
      message: 'FlatQuant needs an integer scheme such as W4G128, not NF4.',
    });
  });

  it('says that clip ratios are not used', async () => {
    const { result } = await quantized('qwen3-tied', flatquant('W4A4KV4', { epochs: 1 }, { activationClip: 0.9 }));
    expect(result.notes[0]).toMatch(/clip ratios.*not used/);
  });
});

describe.runIf(testBackends.includes('webgpu'))('on webgpu', () => {
  it('calibrates a layer', async () => {
    await selectBackend('webgpu');
    const model = smallModel();
    const stage = flatquant('W3A4KV4', { epochs: 2, batchSize: 2 });
    const result = await quantizeModel(model, stage, { samples: samples.slice(0, 2).map((sample) => sample.slice(0, 8)) });
    const [[start, end]] = course(result.notes) as [[number, number]];
    expect(end).toBeLessThan(start);
    expect((await logitsOf(model)).every(Number.isFinite)).toBe(true);
    model.dispose();
    await selectBackend('wasm');
  });
});
