import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { quantizeStageSchema, type StageOf } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import type { BackendName } from '#contract/worker.ts';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { saveQuantizedCheckpoint } from '../../../../src-main/engine/formats/quantized-checkpoint.ts';
import type { LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import { loadModel } from '../../../../src-main/engine/model/load.ts';
import { quantizeModel } from '../../../../src-main/engine/quantizers/quantize-model.ts';
import { rotatedActivations, rotateGlobals, rotateLayer, rotationsFor } from '../../../../src-main/engine/quantizers/quarot.ts';
import { activationsFor } from '../../../../src-main/engine/quantizers/scheme-map.ts';
import { type GoldenName, goldenModel, goldenNames } from '../../../golden/fixtures.ts';
import { testBackends } from '../ops/op-check.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'roundoff-quarot-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const ids = Int32Array.from({ length: 24 }, (_, i) => (11 * i + 3) % 60);
const samples = Array.from({ length: 8 }, (_, index) => Int32Array.from({ length: 16 }, (_, i) => (7 * i + 5 * index) % 60));

async function logitsOf(model: LanguageModel): Promise<Float32Array> {
  const logits = tf.tidy(() => model.logits(model.forward(tf.tensor2d(ids, [2, 12], 'int32'))));
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

/** Everything rotated, online transforms of keys and queries included, nothing rounded. */
async function rotateOnly(model: LanguageModel, seed = 0, withValueBias = true): Promise<void> {
  const rotations = rotationsFor(model.config, seed, () => undefined);
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

  it('spreads a channel that stands out at the input of down_proj over all channels', () =>
    withModel('qwen3-tied', async (model) => {
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
    }));

  it.each([
    ['W4A4KV4', { weights: 'gptq' }],
    ['W4A4KV4', { weights: 'rtn' }],
    ['W3G16', { weights: 'gptq' }],
  ] as const)('quantizes to %s with %j; the saved folder computes what the model did', (scheme, options) =>
    withModel('qwen2-bias', async (model) => {
      const before = tf.memory().numTensors;
      const result = await quantizeModel(model, stageOf(scheme, options), { samples });
      expect(result.untied).toBe(true);
      expect(result.parameters.has('lm_head.weight')).toBe(true);
      const dir = join(folder, `${scheme}-${options.weights}`);
      const { packed: quantized, parameters, activations, untied } = result;
      await saveQuantizedCheckpoint(dir, { sourceDir: goldenModel('qwen2-bias').dir, quantized, parameters, activations, untied });
      const reloaded = await loadModel(dir);
      expect(reloaded.config.tiedEmbeddings).toBe(false);
      expect(await logitsOf(reloaded)).toEqual(await logitsOf(model));
      expect(reloaded.layerActivations()).toEqual(activations);
      reloaded.dispose();
      expect(tf.memory().numTensors).toBeGreaterThan(before);
    }),
  );

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

  it('names a size without a Hadamard matrix before anything is computed', () => {
    const config = { hiddenSize: 56, headDim: 8, heads: 7, intermediateSize: 48 };
    const notes: string[] = [];
    const rotations = () => rotationsFor({ ...config, hiddenSize: 92 } as never, 0, (note) => notes.push(note));
    expect(rotations).toThrow(expect.objectContaining({ code: 'unsupported', message: expect.stringContaining('92') }));
    expect(rotationsFor(config as never, 0, (note) => notes.push(note)).heads).toBeNull();
    expect(notes.join()).toContain('7 heads');
    const blocks = rotationsFor({ ...config, intermediateSize: 92 } as never, 0, (note) => notes.push(note));
    expect(blocks.mlp).toMatchObject({ rows: 23, columns: 4, left: null });
  });
});
