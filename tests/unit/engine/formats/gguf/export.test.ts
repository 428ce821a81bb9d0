import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../../src-main/engine/backends/select.ts';
import {
  type GgufFormat,
  type GgufSource,
  ggufFormats,
  ggufProblems,
  writeGgufModel,
} from '../../../../../src-main/engine/formats/exporters/gguf.ts';
import { decodeGguf, encodeGguf } from '../../../../../src-main/engine/formats/gguf/blocks.ts';
import { loadGgufModel } from '../../../../../src-main/engine/formats/gguf/model.ts';
import { openGguf } from '../../../../../src-main/engine/formats/gguf/read.ts';
import { ggufName, ggufParameters } from '../../../../../src-main/engine/formats/gguf/tensors.ts';
import type { ModelConfig } from '../../../../../src-main/engine/model/config.ts';
import { createRandomModel } from '../../../../../src-main/engine/model/init.ts';
import type { LanguageModel } from '../../../../../src-main/engine/model/language-model.ts';
import { loadModel } from '../../../../../src-main/engine/model/load.ts';
import { goldenModel, goldenNames } from '../../../../golden/fixtures.ts';
import { temporaryFolder } from '../../model-folder.ts';
import { casesFor, testBackends } from '../../ops/op-check.ts';
import { tinyConfigs } from '../../rollouts/tiny-models.ts';
import { addTokenizer } from './tokenizers.ts';

/** Sizes that divide into blocks, one model per architecture; Llama with biases and scaled RoPE. */
const sizes = { hiddenSize: 64, intermediateSize: 96, headDim: 16 };
const configs: ModelConfig[] = [
  { ...tinyConfigs['qwen3, grouped queries'], ...sizes },
  { ...tinyConfigs['qwen2, odd group, attention bias'], ...sizes, heads: 4 },
  { ...tinyConfigs['llama, scaled RoPE, output bias'], ...sizes, heads: 4, kvHeads: 2 },
];
const formats = Object.keys(ggufFormats) as GgufFormat[];

async function sourceOf(model: LanguageModel): Promise<GgufSource> {
  const dir = await temporaryFolder();
  addTokenizer(dir);
  return { config: model.config, dir, readFloats: (name) => model.parameter(name).data<'float32'>() };
}

async function logitsOf(model: LanguageModel, ids: number[]): Promise<Float32Array> {
  const logits = tf.tidy(() => model.logits(model.forward(tf.tensor2d([ids], undefined, 'int32'))));
  const values = await logits.data<'float32'>();
  logits.dispose();
  return values;
}

const largestDifference = (a: Float32Array, b: Float32Array) => a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
const ids = [5, 9, 2, 30, 17, 11, 3, 8];

describe.each(testBackends)('a model exported as GGUF on %s', (backend) => {
  it.each(casesFor(backend, configs).flatMap((config) => formats.map((format) => ({ format, config, name: config.architecture }))))(
    '$name as $format computes with exactly the rounded weights',
    async ({ format, config }) => {
      await selectBackend(backend);
      const before = tf.memory().numTensors;
      const model = createRandomModel(config, 7, { deviation: 0.2 });
      const source = await sourceOf(model);
      const dir = await temporaryFolder();
      const { path } = await writeGgufModel(source, dir, format, { name: 'small' });
      const exact = await logitsOf(model, ids);
      for (const { source: name, shape, type } of ggufParameters(config, ggufFormats[format])) {
        const values = await model.parameter(name).data<'float32'>();
        model.setParameter(name, decodeGguf(type, encodeGguf(type, values)), shape);
      }
      const reloaded = await loadGgufModel(path, config);
      const rounded = await logitsOf(reloaded, ids);
      expect(largestDifference(rounded, await logitsOf(model, ids))).toBe(0);
      const change = largestDifference(rounded, exact);
      const spread = Math.max(...exact) - Math.min(...exact);
      expect(change / spread).toBeGreaterThan(0);
      expect(change / spread).toBeLessThan({ 'gguf-f16': 2e-3, 'gguf-q8_0': 0.03, 'gguf-q4_0': 0.5 }[format]);
      reloaded.dispose();
      model.dispose();
      expect(tf.memory().numTensors).toBe(before);
    },
  );
});

describe('what a GGUF file holds', () => {
  it.each(goldenNames)("%s in half precision computes transformers' logits", async (name) => {
    await selectBackend('wasm');
    const golden = goldenModel(name);
    const model = await loadModel(golden.dir);
    const source = await sourceOf(model);
    const { path } = await writeGgufModel(source, await temporaryFolder(), 'gguf-f16', { name });
    const reloaded = await loadGgufModel(path, model.config);
    const expected = Float32Array.from(golden.logits.flat());
    const spread = Math.max(...expected) - Math.min(...expected);
    expect(largestDifference(await logitsOf(reloaded, golden.prompts[0]!), expected) / spread).toBeLessThan(2e-3);
    reloaded.dispose();
    model.dispose();
  });

  it('are the names, types, keys and notes llama.cpp looks for', async () => {
    await selectBackend('wasm');
    const model = createRandomModel(configs[2]!, 1);
    const notes = { method: 'gptq', scheme: 'W4G128' };
    const options = { name: 'My model', notes };
    const { path } = await writeGgufModel(await sourceOf(model), await temporaryFolder(), 'gguf-q4_0', options);
    model.dispose();
    expect(path).toMatch(/My-model-Q4_0\.gguf$/);
    const file = await openGguf(path);
    const types = Object.fromEntries([...file.tensors.values()].map(({ name, type }) => [name, type]));
    expect(types).toMatchObject({
      'token_embd.weight': 'Q4_0',
      'output.weight': 'Q8_0',
      'output_norm.weight': 'F32',
      'rope_freqs.weight': 'F32',
      'blk.1.attn_q.weight': 'Q4_0',
      'blk.1.attn_q.bias': 'F32',
      'blk.1.attn_output.bias': 'F32',
      'blk.1.ffn_down.weight': 'Q4_0',
      'blk.1.ffn_norm.weight': 'F32',
    });
    expect(Object.fromEntries([...file.metadata].map(([key, value]) => [key, value.type === 'array' ? [] : value.value]))).toMatchObject({
      'general.architecture': 'llama',
      'general.name': 'My model',
      'general.file_type': 2,
      'general.quantization_version': 2,
      'roundoff.method': 'gptq',
      'roundoff.scheme': 'W4G128',
      'llama.block_count': 2,
      'llama.context_length': 256,
      'llama.embedding_length': 64,
      'llama.feed_forward_length': 96,
      'llama.attention.head_count': 4,
      'llama.attention.head_count_kv': 2,
      'llama.attention.key_length': 16,
      'llama.attention.value_length': 16,
      'llama.attention.layer_norm_rms_epsilon': Math.fround(1e-6),
      'llama.rope.dimension_count': 16,
      'llama.rope.freq_base': 10_000,
      'tokenizer.chat_template': '{{ messages[0].content }}',
    });
    // Short wavelengths keep their frequency, long ones are stretched eightfold.
    const factors = await file.readFloats('rope_freqs.weight');
    expect([factors[0], factors[7]]).toEqual([1, 8]);
    await file.close();
  });

  it('leaves tied embeddings out as an output, and keeps them finer than 4 bits', () => {
    const parameters = ggufParameters(configs[0]!, 'Q4_0');
    expect(parameters.some(({ name }) => name === 'output.weight')).toBe(false);
    expect(parameters.find(({ name }) => name === 'token_embd.weight')?.type).toBe('Q8_0');
    expect(ggufName('model.layers.12.self_attn.q_norm.weight')).toBe('blk.12.attn_q_norm.weight');
    expect(() => ggufName('model.layers.0.other.weight')).toThrow(/no GGUF name/);
  });

  it('is checked against the model on loading', async () => {
    await selectBackend('wasm');
    const before = tf.memory().numTensors;
    const config = configs[2]!;
    const model = createRandomModel(config, 1);
    const { path } = await writeGgufModel(await sourceOf(model), await temporaryFolder(), 'gguf-f16', { name: 'x' });
    model.dispose();
    const scaling = { ...config.ropeScaling!, factor: 4 };
    await expect(loadGgufModel(path, { ...config, ropeTheta: 5e6 })).rejects.toThrow(/rope.freq_base is 10000, not 5000000/);
    await expect(loadGgufModel(path, { ...config, ropeScaling: scaling })).rejects.toThrow(/rope_freqs.weight/);
    await expect(loadGgufModel(path, { ...config, tiedEmbeddings: false, vocabSize: 40 })).rejects.toThrow(/vocab_size/);
    await expect(loadGgufModel(path, { ...config, qkNorm: true })).rejects.toThrow(/attn_q_norm/);
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('what cannot be a GGUF file', () => {
  it('is refused, naming every tensor, before anything is written', async () => {
    await selectBackend('wasm');
    const model = createRandomModel(tinyConfigs['llama, scaled RoPE, output bias'], 1);
    const source = await sourceOf(model);
    const dir = await temporaryFolder();
    await expect(writeGgufModel(source, dir, 'gguf-q8_0', { name: 'x' })).rejects.toMatchObject({
      code: 'unsupported',
      problems: expect.arrayContaining([
        expect.stringContaining('model.layers.1.self_attn.q_proj.weight: its rows of 28 values'),
        expect.stringContaining('model.layers.0.mlp.down_proj.weight: its rows of 48 values'),
      ]),
    });
    expect(readdirSync(dir)).toEqual([]);
    expect(await ggufProblems(source, 'gguf-f16')).toEqual([]);
    model.dispose();
  });

  it('says what llama.cpp lacks', async () => {
    const dir = await temporaryFolder();
    const qwen3 = { ...configs[0]!, attentionBias: true };
    expect(await ggufProblems({ config: qwen3, dir }, 'gguf-f16')).toEqual([
      expect.stringContaining('tokenizer.json is missing'),
      expect.stringContaining('no biases'),
    ]);
    expect(existsSync(join(dir, 'x-F16.gguf'))).toBe(false);
  });
});
