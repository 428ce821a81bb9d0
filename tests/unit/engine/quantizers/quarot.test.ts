import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { quantizeStageSchema, type StageOf } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import type { BackendName } from '#contract/worker.ts';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import type { PackedLinear } from '../../../../src-main/engine/formats/packed-linear.ts';
import { saveQuantizedCheckpoint } from '../../../../src-main/engine/formats/quantized-checkpoint.ts';
import type { ModelConfig } from '../../../../src-main/engine/model/config.ts';
import { createRandomModel } from '../../../../src-main/engine/model/init.ts';
import type { LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import { plainActivations } from '../../../../src-main/engine/model/layer-activations.ts';
import { loadModel } from '../../../../src-main/engine/model/load.ts';
import { quantizeModel } from '../../../../src-main/engine/quantizers/quantize-model.ts';
import { rotatedActivations, rotateGlobals, rotateLayer, rotationsFor } from '../../../../src-main/engine/quantizers/quarot.ts';
import { activationsFor } from '../../../../src-main/engine/quantizers/scheme-map.ts';
import { type GoldenName, goldenModel, goldenNames } from '../../../golden/fixtures.ts';
import { testBackends } from '../ops/op-check.ts';
import { tinyConfigs } from '../rollouts/tiny-models.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'roundoff-quarot-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const ids = Int32Array.from({ length: 24 }, (_, i) => (11 * i + 3) % 60);
const samples = Array.from({ length: 8 }, (_, index) => Int32Array.from({ length: 16 }, (_, i) => (7 * i + 5 * index) % 60));

async function logitsOf(model: LanguageModel, vocabulary = 60): Promise<Float32Array> {
  const input = ids.map((id) => id % vocabulary);
  const logits = tf.tidy(() => model.logits(model.forward(tf.tensor2d(input, [2, 12], 'int32'))));
  const values = (await logits.data<'float32'>()).slice();
  logits.dispose();
  return values;
}

async function withModel<T>(name: GoldenName, work: (model: LanguageModel) => Promise<T>, backend: BackendName = 'wasm'): Promise<T> {
  await selectBackend(backend);
  const model = await loadModel(goldenModel(name).dir);
  try {
    return await work(model);
  } finally {
    model.dispose();
  }
}

function stageOf(scheme: string, options: object = {}, more: object = {}): StageOf<'quarot'> {
  const calibration = { path: 'given', samples: 8, sequenceLength: 16, seed: 0 };
  const stage = { type: 'quantize', method: 'quarot', scheme: parseScheme(scheme), calibration, options, ...more };
  return quantizeStageSchema.parse(stage) as StageOf<'quarot'>;
}

const tokens = (bits: number) => ({ bits, symmetric: false, outlierThreshold: null });

/** Everything rotated, online transforms of keys and queries included, nothing rounded. Returns what was noted. */
async function rotateOnly(model: LanguageModel, seed = 0, withValueBias = true): Promise<string[]> {
  const notes: string[] = [];
  const rotations = rotationsFor(model.config, seed, (note) => notes.push(note));
  await rotateGlobals(model, rotations);
  for (let index = 0; index < model.config.layers; index++) {
    const name = `model.layers.${index}.self_attn.v_proj.bias`;
    const bias = model.parameters.get(name);
    const kept = bias ? ((await bias.data()) as Float32Array).slice() : null;
    await rotateLayer(model, index, rotations);
    if (kept && !withValueBias) model.setParameter(name, kept, [kept.length]);
    const activations = rotatedActivations(activationsFor(stageOf('W4KV4'), index), rotations);
    activations.keys.quantizer = null;
    activations.values.quantizer = null;
    model.setActivations(index, activations);
  }
  return notes;
}

function largest(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, index) => Math.max(most, Math.abs(value - b[index]!)), 0);
}

describe.each(testBackends)('QuaRot without rounding on %s', (backend) => {
  it.each(backend === 'wasm' ? goldenNames : (['qwen2-bias'] as const))('leaves the logits of %s as they were within 1e-4', (name) =>
    withModel(
      name,
      async (model) => {
        const before = await logitsOf(model);
        await rotateOnly(model);
        expect(largest(await logitsOf(model), before)).toBeLessThan(1e-4);
      },
      backend,
    ),
  );
});

describe('QuaRot', () => {
  it('moves the logits when the bias of values is not rotated', () =>
    withModel('qwen2-bias', async (model) => {
      const before = await logitsOf(model);
      await rotateOnly(model, 0, false);
      expect(largest(await logitsOf(model), before)).toBeGreaterThan(1e-2);
    }));

  it.each(testBackends)('spreads a channel that stands out at the input of down_proj over all channels, on %s', (backend) => {
    const work = async (model: LanguageModel) => {
      const up = 'model.layers.0.mlp.up_proj.weight';
      const weight = ((await model.parameter(up).data()) as Float32Array).slice();
      const [rows, columns] = model.parameter(up).shape as [number, number];
      for (let j = 0; j < columns; j++) weight[5 * columns + j]! *= 100;
      model.setParameter(up, weight, [rows, columns]);
      const peak = async () => {
        const input: tf.Tensor[] = [];
        const onLinearInput = (module: string, x: tf.Tensor) => {
          if (module === 'model.layers.0.mlp.down_proj') input.push(tf.keep(tf.clone(x)));
        };
        model.forward(tf.tensor2d(ids, [2, 12], 'int32'), { onLinearInput }).dispose();
        const values = (await input[0]!.data()) as Float32Array;
        input[0]!.dispose();
        const square = values.reduce((sum, value) => sum + value * value, 0) / values.length;
        return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / Math.sqrt(square);
      };
      const before = await peak();
      await rotateOnly(model);
      expect(await peak()).toBeLessThan(before / 2);
    };
    return withModel('qwen3-tied', work, backend);
  });

  it.each([
    ['qwen2-bias', 'W4A4KV4', { weights: 'gptq' }],
    ['qwen3-untied-bf16', 'W4A4KV4', { weights: 'rtn' }],
    ['llama-sharded-bias', 'W3G16', { weights: 'gptq' }],
    ['qwen3-tied', 'W8A8', { weights: 'rtn' }],
  ] as const)('quantizes %s to %s with %j; the saved folder computes what the model did, bit for bit', async (name, scheme, options) => {
    const before = tf.memory().numTensors;
    const overrides = [{ pattern: 'layers.1.mlp.up_proj', scheme: null }];
    const dir = join(folder, `${name}-${scheme}`);
    const sourceDir = goldenModel(name).dir;
    const expected = await withModel(name, async (model) => {
      const { tiedEmbeddings } = model.config;
      const result = await quantizeModel(model, stageOf(scheme, options, { overrides }), { samples });
      const { packed: quantized, parameters, activations, untied } = result;
      expect(untied).toBe(tiedEmbeddings);
      expect(model.config.tiedEmbeddings).toBe(false);
      expect(activations).toEqual(model.layerActivations());
      await saveQuantizedCheckpoint(dir, { sourceDir, quantized, parameters, activations, untied });
      return { logits: await logitsOf(model), activations };
    });
    const reloaded = await loadModel(dir);
    expect(reloaded.config.tiedEmbeddings).toBe(false);
    expect(await logitsOf(reloaded)).toEqual(expected.logits);
    expect(reloaded.layerActivations()).toEqual(expected.activations);
    reloaded.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('transforms and quantizes what the scheme says, with the published clip ratios', () =>
    withModel('qwen3-tied', async ({ config }) => {
      const rotations = rotationsFor(config, 0, () => undefined);
      const of = (scheme: string, more: object = {}) => rotatedActivations(activationsFor(stageOf(scheme, {}, more), 0), rotations);
      const full = of('W4A4KV4');
      expect(full.attentionInput).toEqual({ transform: null, quantizer: { ...tokens(4), clipHigh: 0.9, clipLow: 0.9 } });
      expect(full.attentionOutput.transform).toMatchObject({ rows: 4, columns: 16, right: null });
      expect(full.mlpOutput.transform).toMatchObject({ rows: 12, columns: 4 });
      expect(full.keys.quantizer).toEqual({ ...tokens(4), clipHigh: 0.95, clipLow: 0.95 });
      expect(full.values.quantizer).toEqual(full.keys.quantizer);
      expect(full.keys.transform).toHaveLength(16 * 16);
      expect(full.keys.queryTransform).toEqual(full.keys.transform);
      const weightOnly = of('W3');
      expect(weightOnly).toEqual({
        ...plainActivations(),
        attentionOutput: { transform: full.attentionOutput.transform, quantizer: null },
        mlpOutput: { transform: full.mlpOutput.transform, quantizer: null },
      });
      const own = of('W4A4KV4', { activationClip: 0.8, kvClip: 1 });
      expect([own.mlpOutput.quantizer!.clipLow, own.keys.quantizer!.clipHigh]).toEqual([0.8, 1]);
    }));

  it('chooses codes as if activations stayed float', async () => {
    const run = (scheme: string) =>
      withModel('qwen3-tied', async (model) => (await quantizeModel(model, stageOf(scheme), { samples })).packed);
    expect(await run('W4A3')).toEqual(await run('W4:sym'));
  });

  it('has symmetric grids on which ±max is exact, by GPTQ and by rounding to nearest', async () => {
    for (const weights of ['gptq', 'rtn']) {
      await withModel('qwen3-tied', async (model) => {
        const { packed } = await quantizeModel(model, stageOf('W4A8', { weights, mseSearch: false }), { samples });
        const { codes, zeros, inFeatures } = packed.get('model.layers.0.self_attn.q_proj') as PackedLinear;
        expect(new Set(zeros)).toEqual(new Set([8]));
        const row = [...codes.subarray(0, inFeatures)].map((code) => Math.abs(code - 8));
        expect(Math.max(...row)).toBeGreaterThanOrEqual(7);
        expect(Math.min(...codes)).toBeGreaterThanOrEqual(weights === 'rtn' ? 1 : 0);
      });
    }
  });

  it('reads no calibration text where weights are rounded to nearest', () =>
    withModel('qwen3-tied', async (model) => {
      const { packed, activations } = await quantizeModel(model, stageOf('W4A4', { weights: 'rtn' }));
      expect(packed.size).toBe(14);
      expect(activations[0]!.mlpInput.quantizer!.bits).toBe(4);
    }));

  it.each([
    ['6 heads of 20', { ...tinyConfigs['qwen2, odd group, attention bias'] }, [/6 heads/]],
    ['7 heads of 4', { ...tinyConfigs['llama, scaled RoPE, output bias'] }, [/7 heads/]],
    [
      'sizes without a Hadamard matrix',
      { ...tinyConfigs['qwen3, grouped queries'], hiddenSize: 52, intermediateSize: 92, headDim: 22 },
      [
        /of 52 is known; the residual stream is rotated in 13 blocks of 4/,
        /of 22 .* each head .* 11 blocks of 2/,
        /of 92 .* 23 blocks of 4/,
      ],
    ],
  ] as const)('leaves the logits of a model with %s as they were, and notes it', async (_, config, notes) => {
    await selectBackend('wasm');
    const model = createRandomModel(config as ModelConfig, 3, { deviation: 0.25 });
    for (const [name, tensor] of model.parameters) {
      if (tensor.rank === 1) model.setParameter(name, new RandomStream(1, name).normals(tensor.size, 0.5), tensor.shape);
    }
    const before = await logitsOf(model, 41);
    const seen = await rotateOnly(model);
    expect(largest(await logitsOf(model, 41), before)).toBeLessThan(1e-4);
    expect(largest(before, new Float32Array(before.length))).toBeGreaterThan(0.1);
    expect(seen).toEqual(notes.map((note) => expect.stringMatching(note)));
    model.dispose();
  });

  it('gives the same for the same seed and other rotations for another', async () => {
    const run = (seed: number) =>
      withModel('qwen3-tied', async (model) => (await quantizeModel(model, stageOf('W4A4KV4', { seed }), { samples })).packed);
    const first = await run(0);
    expect(await run(0)).toEqual(first);
    expect(await run(1)).not.toEqual(first);
  });

  it('keeps linears that stay unquantized, rotated, as parameters', () =>
    withModel('qwen3-tied', async (model) => {
      const overrides = [{ pattern: '*.o_proj', scheme: null }];
      const { packed, parameters } = await quantizeModel(model, stageOf('W4', {}, { overrides }), { samples });
      expect(packed.has('model.layers.0.self_attn.o_proj')).toBe(false);
      expect(parameters.has('model.layers.0.self_attn.o_proj.weight')).toBe(true);
      expect(parameters.has('model.layers.0.self_attn.q_proj.weight')).toBe(false);
    }));

  it('names an odd size before anything is computed', () =>
    withModel('qwen3-tied', async (model) => {
      for (const [field, size] of [
        ['hiddenSize', 33],
        ['intermediateSize', 45],
      ] as const) {
        const odd = () => rotationsFor({ ...model.config, [field]: size }, 0, () => undefined);
        expect(odd).toThrow(expect.objectContaining({ code: 'unsupported', message: expect.stringContaining(`_size ${size} is odd`) }));
      }
      expect(model.linear('model.layers.0.mlp.up_proj').kind).toBe('dense');
    }));
});
