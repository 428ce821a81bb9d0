import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import type { JsonObject } from '../../../../src-main/engine/data/json-file.ts';
import { dequantizeLinear, type PackedLinear } from '../../../../src-main/engine/formats/packed-linear.ts';
import { dequantizeStored, storedLinearBytes } from '../../../../src-main/engine/formats/stored-linear.ts';
import { decoderLinears, type LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import { PackedLinearOp } from '../../../../src-main/engine/model/linear-op.ts';
import { loadModel } from '../../../../src-main/engine/model/load.ts';
import { ModelTokenizer } from '../../../../src-main/engine/model/tokenizer.ts';
import { decodeCode, encodeWeight } from '../../../../src-main/engine/observers/grid.ts';
import { fakeQuantize } from '../../../../src-main/engine/ops/fake-quantize/index.ts';
import { solveGptq } from '../../../../src-main/engine/quantizers/gptq.ts';
import { factorHessian } from '../../../../src-main/engine/quantizers/gptq-factor.ts';
import { type QuantizeOptions, quantizeModel } from '../../../../src-main/engine/quantizers/quantize-model.ts';
import {
  type GptqOptions,
  gptqOptionsSchema,
  type QuantizationMethod,
  type QuantizeStage,
  quantizeStageSchema,
  type SchemeOverride,
} from '../../../../src-preload/contract/recipe.ts';
import { bitsPerWeight, parseScheme } from '../../../../src-preload/contract/scheme.ts';
import { type GoldenName, goldenModel, goldenNames } from '../../../golden/fixtures.ts';
import { hessianOf } from './matrices.ts';

beforeAll(async () => {
  await selectBackend('wasm');
});

const samples = Array.from({ length: 20 }, (_, row) =>
  Int32Array.from({ length: 24 }, (_, i) => (row * 37 + i * i * 5 + ((i * row) % 7)) % 96),
);

const rtn = (scheme: string, mseSearch = false): QuantizeStage => ({
  type: 'quantize',
  method: 'rtn',
  scheme: parseScheme(scheme),
  options: { mseSearch },
});

const gptq = (scheme: string, options: Partial<GptqOptions> = {}, path = 'unused.jsonl'): QuantizeStage => ({
  type: 'quantize',
  method: 'gptq',
  scheme: parseScheme(scheme),
  calibration: { path, samples: 8, sequenceLength: 16, seed: 1 },
  options: gptqOptionsSchema.parse(options),
});

async function withModel<T>(name: GoldenName, work: (model: LanguageModel) => Promise<T>): Promise<T> {
  const model = await loadModel(goldenModel(name).dir);
  try {
    return await work(model);
  } finally {
    model.dispose();
  }
}

function quantized(name: GoldenName, stage: QuantizeStage, options: QuantizeOptions = { samples }) {
  return withModel(name, (model) => quantizeModel(model, stage, options));
}

async function logitsOf(model: LanguageModel): Promise<Float32Array> {
  const logits = tf.tidy(() => model.logits(model.forward(tf.tensor2d([...samples[0]!], [1, 24], 'int32'))));
  const values = (await logits.data<'float32'>()).slice();
  logits.dispose();
  return values;
}

const largest = (values: Float32Array, other: Float32Array) =>
  values.reduce((max, value, i) => Math.max(max, Math.abs(value - other[i]!)), 0);

describe.each([
  ['rtn', rtn('W3G16')],
  ['gptq', gptq('W3G16')],
])('%s', (_, stage) => {
  it('replaces every decoder linear, reports it, and leaks nothing', async () => {
    const before = tf.memory().numTensors;
    await withModel('qwen3-tied', async (model) => {
      const seen: string[] = [];
      const result = await quantizeModel(model, stage, {
        samples,
        onProgress: ({ done, total, detail }) => {
          seen.push(detail);
          expect([done, total]).toEqual([seen.length, 14]);
        },
      });
      const modules = decoderLinears(model.config);
      expect([...result.packed.keys()]).toEqual(modules);
      expect(result.layers.map((layer) => layer.name)).toEqual(modules);
      expect(seen.toSorted()).toEqual(modules.toSorted());
      for (const [module, packed] of result.packed) {
        expect(await model.linear(module).stored()).toEqual(packed);
        expect(model.parameters.has(`${module}.weight`)).toBe(false);
      }
      expect(result.quantizedBytes).toBe([...result.packed.values()].reduce((sum, packed) => sum + storedLinearBytes(packed), 0));
      expect(result.bitsPerWeight).toBeGreaterThanOrEqual(bitsPerWeight(stage.scheme, 32));
      expect(result.notes).toEqual([]);
    });
    expect(tf.memory().numTensors).toBe(before);
  });

  it('leaves the model computing with exactly the weights that are stored', async () => {
    const [actual, packed] = await withModel('qwen2-bias', async (model) => {
      const result = await quantizeModel(model, stage, { samples });
      return [await logitsOf(model), result.packed] as const;
    });
    const expected = await withModel('qwen2-bias', (model) => {
      for (const [module, linear] of packed) {
        model.parameters.get(`${module}.weight`)!.dispose();
        model.parameters.set(`${module}.weight`, tf.tensor2d(dequantizeStored(linear), [linear.outFeatures, linear.inFeatures]));
      }
      return logitsOf(model);
    });
    expect(largest(actual, expected)).toBe(0);
  });

  it('gives the same result every time', async () => {
    expect(await quantized('qwen3-tied', stage)).toEqual(await quantized('qwen3-tied', stage));
  });
});

describe.each([
  ['nf4', 'NF4'],
  ['nf4', 'NF4:double'],
  ['int8', 'INT8'],
  ['int8', 'INT8KV4'],
] as const)('%s with %s', (method, written) => {
  const stage = quantizeStageSchema.parse({ type: 'quantize', method, scheme: parseScheme(written) });

  it('quantizes every linear alone, computes with what is stored, and leaks nothing', async () => {
    const before = tf.memory().numTensors;
    await withModel('qwen2-bias', async (model) => {
      const full = await logitsOf(model);
      const { packed, layers, activations, parameters } = await quantizeModel(model, stage);
      expect([...packed.keys()]).toEqual(decoderLinears(model.config));
      expect(parameters.size).toBe(0);
      expect(layers.every(({ weightError, outputError }) => weightError > 0 && outputError === null)).toBe(true);
      for (const linear of packed.values()) expect(linear.coding === 'nf4').toBe(method === 'nf4');
      const sites = activations.map((layer) => layer?.mlpOutput.quantizer ?? null);
      const expected = method === 'nf4' ? null : { bits: 8, symmetric: true, clipHigh: 1, clipLow: 1, outlierThreshold: 6 };
      expect(sites).toEqual([expected, expected]);
      expect(activations[0]?.keys.quantizer?.bits).toBe(written.includes('KV4') ? 4 : undefined);
      const quantizedLogits = await logitsOf(model);
      expect(largest(quantizedLogits, full)).toBeGreaterThan(0);
      for (const [module, linear] of packed) {
        model.setParameter(`${module}.weight`, dequantizeStored(linear), [linear.outFeatures, linear.inFeatures]);
        model.restoreDense(module);
      }
      expect(largest(await logitsOf(model), quantizedLogits)).toBeLessThan(1e-5);
    });
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('round-to-nearest of a model', () => {
  it('changes the logits less with more bits', async () => {
    const full = await withModel('llama-rope-scaled', logitsOf);
    const changes: number[] = [];
    for (const scheme of ['W2', 'W4', 'W8']) {
      changes.push(
        await withModel('llama-rope-scaled', async (model) => {
          await quantizeModel(model, rtn(scheme));
          return largest(await logitsOf(model), full);
        }),
      );
    }
    expect(changes[0]).toBeGreaterThan(changes[1]!);
    expect(changes[1]).toBeGreaterThan(changes[2]!);
    expect(changes[2]).toBeGreaterThan(0);
  });

  it('has no output errors, because it sees no data', async () => {
    const { layers, latents } = await quantized('qwen3-tied', rtn('W4G16:sym'), { keepLatents: true });
    expect(layers.every((layer) => layer.outputError === null && layer.outputErrorVsRtn === null && layer.weightError > 0)).toBe(true);
    expect(latents).toBeNull();
  });
});

/** GPTQ spelled out with whole forward passes: `stages` lists, per step, the linears whose inputs are gathered together. */
async function spelledOut(model: LanguageModel, steps: string[][], scheme: string, options: GptqOptions): Promise<Map<string, Uint8Array>> {
  const codes = new Map<string, Uint8Array>();
  const parsed = parseScheme(scheme);
  for (const step of steps) {
    const inputs = new Map(step.map((module) => [module, [] as number[]]));
    for (const sample of samples) {
      tf.tidy(() => {
        model.forward(tf.tensor2d([...sample], [1, sample.length], 'int32'), {
          onLinearInput: (module, input) => void inputs.get(module)?.push(...input.dataSync()),
        });
      });
    }
    for (const module of step) {
      const tensor = model.linear(module).weight();
      const [outFeatures, inFeatures] = tensor.shape;
      const weight = (await tensor.data<'float32'>()).slice();
      tensor.dispose();
      const factor = factorHessian(hessianOf(inputs.get(module)!, inFeatures), inFeatures, options);
      const settings = { ...options, bits: parsed.bits, grid: 'affine', scaleType: 'float16', groupSize: parsed.groupSize! } as const;
      const { latents: _, loss: __, ...result } = await solveGptq(weight, { outFeatures, inFeatures }, factor, settings);
      codes.set(module, result.codes);
      const packed = { bits: parsed.bits, symmetric: false, outFeatures, inFeatures, groupSize: parsed.groupSize!, ...result };
      model.setLinear(module, new PackedLinearOp(model.parameters, module, packed));
    }
  }
  return codes;
}

describe('GPTQ of a model', () => {
  const layer = (index: number, ...names: string[]) => names.map((name) => `model.layers.${index}.${name}`);
  const qkv = ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'];
  const rest = ['self_attn.o_proj', 'mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj'];

  it.each([
    [
      true,
      [0, 1].flatMap((i) => [
        layer(i, ...qkv),
        layer(i, 'self_attn.o_proj'),
        layer(i, 'mlp.gate_proj', 'mlp.up_proj'),
        layer(i, 'mlp.down_proj'),
      ]),
    ],
    [false, [0, 1].map((i) => layer(i, ...qkv, ...rest))],
  ])('with trueSequential %s every linear sees what the quantized part of the model feeds it', async (trueSequential, steps) => {
    const options = gptqOptionsSchema.parse({ trueSequential, actOrder: true });
    const expected = await withModel('qwen3-tied', (model) => spelledOut(model, steps, 'W3G16', options));
    const { packed } = await quantized('qwen3-tied', gptq('W3G16', options));
    for (const [module, codes] of expected) {
      const actual = packed.get(module)!.codes;
      const same = codes.reduce((count, code, i) => count + (code === actual[i] ? 1 : 0), 0);
      expect.soft(same / codes.length, module).toBeGreaterThan(0.995);
    }
  });

  it.each(goldenNames)('lowers the output error of %s below round-to-nearest on the same grid', async (name) => {
    const { layers } = await quantized(name, gptq('W3G16'));
    const ratios = layers.map((item) => item.outputErrorVsRtn!);
    expect(Math.max(...ratios)).toBeLessThan(1.02);
    expect(ratios.reduce((a, b) => a + b) / ratios.length).toBeLessThan(0.9);
    for (const item of layers) expect(item.outputError).toBeGreaterThan(0);
  });

  it.each(['W2', 'W2G8', 'W4:sym', 'W8G16:sym'])('quantizes to %s under every option', async (scheme) => {
    for (const options of [{ actOrder: true }, { actOrder: true, staticGroups: true }, { staticGroups: true, mseSearch: false }]) {
      const { packed } = await quantized('qwen3-tied', gptq(scheme, options));
      for (const linear of packed.values() as Iterable<PackedLinear>) {
        expect(Math.max(...linear.codes)).toBeLessThan(2 ** linear.bits);
        const grouped = linear.groupSize < linear.inFeatures;
        expect(linear.groupIndex !== null).toBe(grouped && options.actOrder === true && !options.staticGroups);
      }
    }
  });

  it('gives the compensated weights before rounding, which round to the stored codes', async () => {
    const { packed, latents } = await quantized('qwen3-tied', gptq('W3G16'), { samples, keepLatents: true });
    expect([...latents!.keys()].toSorted()).toEqual([...packed.keys()].toSorted());
    for (const [module, linear] of packed as Map<string, PackedLinear>) {
      const rounded = latents!.get(module)!.map((latent, i) => {
        const group = Math.floor(i / linear.groupSize);
        const [scale, zero] = [linear.scales[group]!, linear.zeros[group]!];
        return decodeCode(encodeWeight(latent, scale, zero, 7), scale, zero);
      });
      expect(rounded).toEqual(dequantizeLinear(linear));
    }
  });

  it.each(['W3G16', 'W2G8:sym'])('starts training with quantization in the loop (%s) where GPTQ ended, bit for bit', async (scheme) => {
    const { packed, latents } = await quantized('qwen3-tied', gptq(scheme), { samples, keepLatents: true });
    for (const [module, linear] of packed as Map<string, PackedLinear>) {
      const { bits, groupSize, outFeatures, inFeatures, symmetric } = linear;
      const groups: [number, number] = [outFeatures, inFeatures / groupSize];
      const restored = tf.tidy(() => {
        const parameters = { scale: tf.tensor2d(linear.scales, groups), zeroPoint: tf.tensor2d(Float32Array.from(linear.zeros), groups) };
        const weight = tf.tensor2d(latents!.get(module)!, [outFeatures, inFeatures]);
        return fakeQuantize(weight, { bits, form: symmetric ? 'shifted' : 'asymmetric', groupSize }, { parameters }).dataSync<'float32'>();
      });
      expect(largest(restored, dequantizeLinear(linear)), module).toBe(0);
    }
  });

  it('notes a damping that had to be raised', async () => {
    const { notes } = await quantized('qwen3-tied', gptq('W4G16', { dampPercent: 1e-14 }), { samples: [samples[0]!.slice(0, 3)] });
    expect(notes[0]).toMatch(/model\.layers\.0\.self_attn\.k_proj.*: damping raised from 1e-12 % to 1 %/);
  });
});

describe('a later layer', () => {
  const secondLayer = async (stage: QuantizeStage, overrides: SchemeOverride[]) => {
    const { packed } = await quantized('qwen3-tied', { ...stage, overrides } as QuantizeStage);
    return [...packed].filter(([module]) => module.startsWith('model.layers.1.')).map(([, { codes }]) => codes);
  };
  const calibration = { path: 'given', samples: 8, sequenceLength: 16, seed: 1 };
  const stageOf = (method: QuantizationMethod, scheme: string, options: object = {}) =>
    quantizeStageSchema.parse({ type: 'quantize', method, scheme: parseScheme(scheme), calibration, options });

  it.each([
    ['gptq', 'W2G16', {}, false],
    ['quarot', 'W2', {}, false],
    ['awq', 'W2G16', {}, true],
    ['flatquant', 'W2', { epochs: 1 }, true],
  ] as const)('is calibrated by %s at %s with %j on what the original layers feed it: %#', async (method, scheme, options, original) => {
    const stage = stageOf(method, scheme, options);
    const after = await secondLayer(stage, []);
    const alone = await secondLayer(stage, [{ pattern: 'layers.0.*', scheme: null }]);
    expect(after).toHaveLength(7);
    if (original) expect(after).toEqual(alone);
    else expect(after).not.toEqual(alone);
  });
});

describe('the calibration file', () => {
  const vocab = Object.fromEntries([...'abcdefghijklmnopqrstuvwxyz '].map((letter, id) => [letter, id]));
  const json = { version: '1.0', model: { type: 'BPE', vocab, merges: [] }, added_tokens: [], normalizer: null };
  const parts = { pre_tokenizer: null, post_processor: null, decoder: null };
  const tokenizer = new ModelTokenizer({ ...json, ...parts } as JsonObject, {}, null);
  const path = join(tmpdir(), `roundoff-calibration-${process.pid}.jsonl`);
  const rows = Array.from({ length: 30 }, (_, i) => ({
    text: String.fromCharCode(...Array.from({ length: 11 }, (_, k) => 97 + ((i * 5 + k * k) % 26))),
  }));

  it('is read in an order that the run seed decides', async () => {
    writeFileSync(path, rows.map((row) => JSON.stringify(row)).join('\n'));
    const run = (seed: number) => quantized('qwen3-tied', gptq('W2G16', {}, path), { tokenizer, seed });
    const [first, again, other] = [await run(42), await run(42), await run(43)];
    expect(again).toEqual(first);
    expect(other.packed).not.toEqual(first.packed);
    rmSync(path);
  });

  it('must be long enough', async () => {
    writeFileSync(path, JSON.stringify(rows[0]));
    await expect(quantized('qwen3-tied', gptq('W2G16', {}, path), { tokenizer })).rejects.toMatchObject({
      code: 'calibration-too-short',
      message: expect.stringContaining('holds 11 tokens in 1 document; 8 samples of 16 tokens need 128'),
    });
    rmSync(path);
  });

  it('needs a tokenizer', async () => {
    await expect(quantized('qwen3-tied', gptq('W2G16'), {})).rejects.toMatchObject({ code: 'tokenizer-invalid' });
  });
});

describe('what is refused before any work', () => {
  it('a group size that does not divide, listing every linear and what fits', async () => {
    await withModel('qwen3-tied', async (model) => {
      for (const stage of [rtn('W4G32'), gptq('W4G32')]) {
        await expect(quantizeModel(model, stage, { samples })).rejects.toMatchObject({
          code: 'bad-input',
          message: expect.stringContaining("W4G32 does not fit 2 of the model's 14 linears"),
          hint: expect.stringContaining('16, 8'),
          problems: [0, 1].map((i) => `model.layers.${i}.mlp.down_proj: 48 inputs are not a multiple of 32`),
        });
      }
      expect(decoderLinears(model.config).every((module) => model.linear(module).kind === 'dense')).toBe(true);
    });
  });

  it('a scheme the method cannot write, also in an override', async () => {
    for (const stage of [
      { ...rtn('W4'), scheme: parseScheme('NF4') },
      { ...gptq('W4G16'), overrides: [{ pattern: '*.v_proj', scheme: parseScheme('INT8') }] },
    ]) {
      await expect(quantized('qwen3-tied', stage)).rejects.toMatchObject({
        code: 'bad-input',
        message: expect.stringContaining('needs an integer scheme'),
      });
    }
    const nf4: QuantizeStage = { type: 'quantize', method: 'nf4', scheme: parseScheme('W4'), options: {} };
    await expect(quantized('qwen3-tied', nf4)).rejects.toMatchObject({
      code: 'bad-input',
      message: 'NF4 writes the scheme NF4 only, not W4.',
    });
  });

  it.each([
    ['no samples', [], 'calibration-too-short', /no calibration tokens/],
    ['samples of different lengths', [samples[0]!, samples[1]!.slice(1)], 'bad-input', /sample 1 has 23 tokens, sample 0 has 24/],
    ['a token outside the vocabulary', [Int32Array.of(5, 96)], 'tokenizer-invalid', /token 96/],
    ['samples longer than the context', [new Int32Array(257)], 'bad-input', /257 tokens exceed the model's context of 256/],
  ])('%s', async (_, bad, code, message) => {
    await expect(quantized('qwen3-tied', gptq('W4G16'), { samples: bad })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });
});

describe('what stops the work', () => {
  it('inputs that are not numbers, naming the linear', async () => {
    const before = tf.memory().numTensors;
    await withModel('qwen3-tied', async (model) => {
      const name = 'model.layers.1.post_attention_layernorm.weight';
      model.parameters.get(name)!.dispose();
      model.parameters.set(name, tf.fill([32], Number.NaN));
      await expect(quantizeModel(model, gptq('W4G16'), { samples })).rejects.toMatchObject({
        code: 'numeric',
        message: expect.stringMatching(/^model\.layers\.1\.mlp\.up_proj, model\.layers\.1\.mlp\.gate_proj: .*NaN/),
      });
    });
    expect(tf.memory().numTensors).toBe(before);
  });

  it('weights that are not numbers, naming the linear', async () => {
    await withModel('qwen3-tied', async (model) => {
      const name = 'model.layers.0.mlp.gate_proj';
      model.parameters.get(`${name}.weight`)!.dispose();
      model.parameters.set(`${name}.weight`, tf.fill([48, 32], Number.NaN));
      await expect(quantizeModel(model, rtn('W4G16'))).rejects.toMatchObject({
        code: 'numeric',
        message: expect.stringMatching(`^${name}: `),
      });
    });
  });

  it('a cancellation, at once and without leaking', async () => {
    const before = tf.memory().numTensors;
    for (const stage of [rtn('W4G16'), gptq('W4G16')]) {
      const controller = new AbortController();
      const seen: string[] = [];
      const run = quantized('qwen3-tied', stage, {
        samples,
        signal: controller.signal,
        onProgress: ({ detail }) => {
          seen.push(detail);
          controller.abort();
        },
      });
      await expect(run).rejects.toMatchObject({ code: 'cancelled' });
      expect(seen.length).toBeLessThan(4);
    }
    expect(tf.memory().numTensors).toBe(before);
  });
});
