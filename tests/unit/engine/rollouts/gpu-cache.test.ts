/** The cache of the GPU decode engine in every form it can be held in: against double precision, and whole decodes beside a float32 cache. */
import { beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { decodeHalves } from '../../../../src-main/engine/formats/float16.ts';
import { deviation } from '../../../../src-main/engine/gpu-check/check.ts';
import { runShader } from '../../../../src-main/engine/gpu-check/run-shader.ts';
import { createRandomModel } from '../../../../src-main/engine/model/init.ts';
import { inputSites, plainActivations, type TokenQuantizer } from '../../../../src-main/engine/model/layer-activations.ts';
import { loadModel } from '../../../../src-main/engine/model/load.ts';
import { createGenerator } from '../../../../src-main/engine/rollouts/generator.ts';
import { GpuGenerator } from '../../../../src-main/engine/rollouts/gpu/gpu-generator.ts';
import { attentionShader } from '../../../../src-main/engine/rollouts/gpu/kernels/attention.ts';
import { appendShader, type CacheShape, cacheBytes, copyShader } from '../../../../src-main/engine/rollouts/gpu/kernels/cache.ts';
import { quantizerWordsOf, quantizeShader } from '../../../../src-main/engine/rollouts/gpu/kernels/token-grid.ts';
import type { CacheType } from '../../../../src-main/engine/rollouts/settings.ts';
import { goldenModel } from '../../../golden/fixtures.ts';
import { normals, testBackends } from '../ops/op-check.ts';
import { fakeQuantized } from './fake-quantized.ts';
import { collect, requests, tinyConfigs } from './tiny-models.ts';

const config = { ...tinyConfigs['qwen2, odd group, attention bias'], heads: 4, kvHeads: 2, headDim: 20 };
const { heads, kvHeads, headDim } = config;
const width = (heads + 2 * kvHeads) * headDim;
const capacity = 12;
const positions = 9;
/** Every position of slot 1, then an idle row. */
const places = Uint32Array.from({ length: 2 * positions + 2 }, (_, i) => (i % 2 === 0 ? 1 : i > 2 * positions ? 0xffffffff : (i - 1) / 2));
const angles = Float64Array.from({ length: (capacity * headDim) / 2 }, (_, i) => i / 7);
const [cosines, sines] = [angles.map(Math.cos), angles.map(Math.sin)];

const qkv = Float32Array.from(normals((positions + 1) * width, 1));

/** Component d of a head of a row, rotated. */
function rotated(row: number, head: number, d: number): number {
  const half = headDim / 2;
  const at = row * width + head * headDim;
  const [c, s] = [cosines[row * half + (d % half)]!, sines[row * half + (d % half)]!];
  return d < half ? qkv[at + d]! * c - qkv[at + d + half]! * s : qkv[at + d]! * c + qkv[at + d - half]! * s;
}

interface HeadQuantizers {
  keys: TokenQuantizer;
  values: TokenQuantizer;
}

const coded = { transformed: { queries: false, keys: false }, quantized: { keys: true, values: true } };

/** After all rows are appended: queries, and the words of keys and values. With quantizers, heads are not turned, so that rows are exact. */
async function append(cache: CacheShape, quantizers?: HeadQuantizers, rows = qkv) {
  const empty = (kind: CacheShape['keys']) => new Uint32Array(cacheBytes(kind, cache) / 4);
  const [c, s] = quantizers ? [cosines.map(() => 1), sines.map(() => 0)] : [cosines, sines];
  const operands = [rows, places, Float32Array.from(c), Float32Array.from(s), empty(cache.keys), empty(cache.values)];
  const shader = appendShader(config, cache, quantizers && coded);
  const grids = quantizers ? [quantizerWordsOf([quantizers.keys, quantizers.values])] : [];
  const [queries, keys, values] = await runShader(shader, [...operands, ...grids], [heads + 2 * kvHeads, positions + 1], {
    reads: [0, 4, 5],
    ...(quantizers && { uniform: 6 }),
  });
  return { queries: queries as Float32Array, keys: keys as Uint32Array, values: values as Uint32Array };
}

describe.skipIf(!testBackends.includes('webgpu'))('the cache of the GPU decode engine', () => {
  beforeAll(async () => {
    await selectBackend('webgpu');
  });

  it('holds halves, and attention computes with exactly those', async () => {
    const cache: CacheShape = { keys: 'float16', values: 'float16', slots: 2, kvHeads, headDim, capacity };
    expect(cacheBytes('float16', cache)).toBe(2 * 2 * kvHeads * headDim * capacity);
    const { queries, keys, values } = await append(cache);
    const [keyHalves, valueHalves] = [keys, values].map((words) => decodeHalves(new Uint16Array(words.buffer))) as [
      Float32Array,
      Float32Array,
    ];
    const keysOf = (head: number, p: number, d: number) =>
      keyHalves[4 * (((kvHeads + head) * (headDim / 4) + Math.floor(d / 4)) * capacity + p) + (d % 4)]!;
    const valuesOf = (head: number, p: number, d: number) => valueHalves[((kvHeads + head) * capacity + p) * headDim + d]!;
    for (let head = 0; head < kvHeads; head++) {
      for (let p = 0; p < capacity; p++) {
        for (let d = 0; d < headDim; d++) {
          const [key, value] =
            p < positions ? [rotated(p, heads + head, d), qkv[p * width + (heads + kvHeads + head) * headDim + d]!] : [0, 0];
          // A half has 11 bits; adapters may round either way.
          expect(Math.abs(keysOf(head, p, d) - key)).toBeLessThanOrEqual(Math.abs(key) * 2 ** -10 + 1e-6);
          expect(Math.abs(valuesOf(head, p, d) - value)).toBeLessThanOrEqual(Math.abs(value) * 2 ** -10);
        }
      }
    }
    // Nothing of the other slot was touched.
    expect(keys.subarray(0, keys.length / 2).some(Boolean)).toBe(false);
    expect(deviation(await attended(cache, queries, keys, values), exactAttention(keysOf, valuesOf))).toBeLessThan(2e-5);
  });

  const asymmetric: TokenQuantizer = { bits: 4, symmetric: false, clipHigh: 0.95, clipLow: 0.9, outlierThreshold: null };
  const eight: TokenQuantizer = { ...asymmetric, bits: 8, symmetric: true };
  const codedCases: [string, HeadQuantizers, keys: 'int4' | 'int8', values: 'int4' | 'int8'][] = [
    ['keys of 4 bits, values of 8', { keys: asymmetric, values: eight }, 'int4', 'int8'],
    ['keys of 8 bits, values of 3', { keys: { ...eight, symmetric: false }, values: { ...asymmetric, bits: 3 } }, 'int8', 'int4'],
  ];

  it.each(codedCases)('holds codes of exactly the quantized values: %s', async (_, quantizers, keyKind, valueKind) => {
    const cache: CacheShape = { keys: keyKind, values: valueKind, slots: 2, kvHeads, headDim, capacity };
    const words = (kind: 'int4' | 'int8') => Math.ceil(headDim / (kind === 'int4' ? 8 : 4));
    expect(cacheBytes(keyKind, cache)).toBe(2 * kvHeads * capacity * (4 * words(keyKind) + 8));
    const { queries, keys, values } = await append(cache, quantizers);
    const component = (part: Uint32Array, kind: 'int4' | 'int8', place: (word: number) => number, block: number, p: number, d: number) => {
      const perWord = kind === 'int4' ? 8 : 4;
      const code = (part[place(Math.floor(d / perWord))]! >>> ((32 / perWord) * (d % perWord))) & (2 ** (32 / perWord) - 1);
      const floats = new Float32Array(part.buffer);
      const grid = 2 * kvHeads * capacity * words(kind) + 2 * (block * capacity + p);
      return Math.fround((code - floats[grid + 1]!) * floats[grid]!) + 0;
    };
    const keysOf = (head: number, p: number, d: number) => {
      const block = kvHeads + head;
      return component(keys, keyKind, (word) => (block * words(keyKind) + word) * capacity + p, block, p, d);
    };
    const valuesOf = (head: number, p: number, d: number) => {
      const block = kvHeads + head;
      return component(values, valueKind, (word) => (block * capacity + p) * words(valueKind) + word, block, p, d);
    };
    const each = Array.from({ length: headDim }, (_, d) => d);
    for (let head = 0; head < kvHeads; head++) {
      for (let p = 0; p < positions; p++) {
        const rowOf = (place: number) => qkv.subarray(p * width + place * headDim, p * width + (place + 1) * headDim);
        expect(each.map((d) => keysOf(head, p, d))).toEqual(fakeQuantized(rowOf(heads + head), quantizers.keys));
        expect(each.map((d) => valuesOf(head, p, d))).toEqual(fakeQuantized(rowOf(heads + kvHeads + head), quantizers.values));
      }
    }
    const query = (row: number, head: number, d: number) => qkv[row * width + head * headDim + d]!;
    expect(deviation(await attended(cache, queries, keys, values), exactAttention(keysOf, valuesOf, query))).toBeLessThan(2e-5);
  });

  it('keeps what is no number in sight of the sampler', async () => {
    const cache: CacheShape = { keys: 'int4', values: 'int8', slots: 2, kvHeads, headDim, capacity };
    const broken = qkv.slice();
    broken[3 * width + (heads + kvHeads) * headDim + 5] = Number.NaN;
    const { queries, keys, values } = await append(cache, { keys: asymmetric, values: eight }, broken);
    const mixed = await attended(cache, queries, keys, values);
    const rowOf = (row: number) => Array.from(mixed.slice(row * heads * headDim, (row * heads + 1) * headDim));
    expect(rowOf(2).every(Number.isFinite)).toBe(true);
    expect(rowOf(3).every(Number.isNaN)).toBe(true);
  });

  it('quantizes what products read, in place and row by row', async () => {
    const [rows, size] = [3, 150];
    const x = Float32Array.from(normals(rows * size, 3));
    x[200] = 9;
    for (const quantizer of [asymmetric, { ...eight, outlierThreshold: 6 }]) {
      const [y] = await runShader(quantizeShader(size), [x, quantizerWordsOf([quantizer])], [rows], { reads: [0], uniform: 1 });
      for (let row = 0; row < rows; row++) {
        const values = x.slice(row * size, (row + 1) * size);
        const isKept = (value: number) => quantizer.outlierThreshold === null || Math.abs(value) < quantizer.outlierThreshold;
        const levels = fakeQuantized(
          values.map((value) => (isKept(value) ? value : 0)),
          quantizer,
        );
        const expected = levels.map((level, j) => (isKept(values[j]!) ? level : values[j]!));
        expect(Array.from(y!.subarray(row * size, (row + 1) * size), (value) => value + 0)).toEqual(expected);
      }
    }
  });

  it.each([
    ['float16', { keys: 'float16', values: 'float16' }],
    ['codes', { keys: 'int4', values: 'int8' }],
  ] as const)('copies prompts between slots as they lie: %s', async (name, kinds) => {
    const cache: CacheShape = { ...kinds, slots: 2, kvHeads, headDim, capacity };
    const { queries, keys, values } = await append(cache, name === 'codes' ? { keys: asymmetric, values: eight } : undefined);
    const [copiedKeys, copiedValues] = await runShader(
      copyShader(cache),
      [Uint32Array.of(1, 0, positions, 0), keys, values],
      [1, kvHeads],
      {
        reads: [1, 2],
      },
    );
    const elsewhere = places.map((place, i) => (i % 2 === 0 ? 0 : place));
    expect(await attended(cache, queries, copiedKeys as Uint32Array, copiedValues as Uint32Array, elsewhere)).toEqual(
      await attended(cache, queries, keys, values),
    );
  });

  async function attended(cache: CacheShape, queries: Float32Array, keys: Uint32Array, values: Uint32Array, rows = places) {
    const output = new Float32Array((positions + 1) * heads * headDim);
    const [mixed] = await runShader(
      attentionShader(config, cache, 'whole'),
      [queries, rows, output, keys, values],
      [kvHeads, positions + 1],
      {
        reads: [2],
      },
    );
    return mixed!;
  }

  /** Attention of every row over given keys and values; 0 for the idle one. */
  function exactAttention(
    key: (head: number, p: number, d: number) => number,
    value: (head: number, p: number, d: number) => number,
    query = rotated,
  ): Float64Array {
    const output = new Float64Array((positions + 1) * heads * headDim);
    for (let row = 0; row < positions; row++) {
      for (let head = 0; head < heads; head++) {
        const shared = Math.floor((head * kvHeads) / heads);
        const weights = Array.from({ length: row + 1 }, (_, p) => {
          let sum = 0;
          for (let d = 0; d < headDim; d++) sum += query(row, head, d) * key(shared, p, d);
          return Math.exp(sum / Math.sqrt(headDim));
        });
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (let d = 0; d < headDim; d++) {
          output[(row * heads + head) * headDim + d] = weights.reduce((sum, weight, p) => sum + (weight / total) * value(shared, p, d), 0);
        }
      }
    }
    return output;
  }

  it('decodes nearly the same with halves in half the memory', async () => {
    const golden = goldenModel('qwen3-tied');
    const model = await loadModel(golden.dir);
    const asked = golden.prompts.map((promptIds, index) => ({ key: String(index), promptIds, seed: 0, stream: '' }));
    const settings = { temperature: 0, topP: 1, topK: 0, maxNewTokens: 40, stopTokenIds: [], logprobs: true };
    const decoded = async (cacheType: CacheType) => {
      const generator = new GpuGenerator(model, { slots: 3, capacity: 64, cacheType });
      const results = [...(await collect(generator, asked, settings)).values()];
      const { sizeBytes } = generator;
      await generator.dispose();
      return { results, sizeBytes };
    };
    const [whole, halves] = [await decoded('float32'), await decoded('float16')];
    const sizes = model.config;
    expect(whole.sizeBytes - halves.sizeBytes).toBe(2 * sizes.layers * 3 * 64 * sizes.kvHeads * sizes.headDim * 2);
    let same = 0;
    let steps = 0;
    for (const [index, { tokenIds, logprobs }] of halves.results.entries()) {
      const expected = whole.results[index]!;
      expect(expected.tokenIds).toEqual(golden.greedy[index]);
      const parting = tokenIds.findIndex((id, step) => id !== expected.tokenIds[step]);
      const shared = parting < 0 ? tokenIds.length : parting;
      same += shared;
      steps += tokenIds.length;
      expect(logprobs!.slice(0, shared)).toEqual(expected.logprobs!.slice(0, shared).map((value) => expect.closeTo(value, 2)));
    }
    expect(same).toBeGreaterThan(0.9 * steps);
    expect(halves.results.map(({ logprobs }) => logprobs)).not.toEqual(whole.results.map(({ logprobs }) => logprobs));
    model.dispose();
  });

  it.each([
    ['KV4', null, 4],
    ['A4 KV4', 4, 4],
    ['A8 KV8', 8, 8],
  ] as const)('decodes a quantized model as the CPU engine does: %s', async (_, inputs, cache) => {
    const settings = { temperature: 0, topP: 1, topK: 0, maxNewTokens: 24, stopTokenIds: [], ignoreEndTokens: true, logprobs: true };
    const decoded = async (backend: 'wasm' | 'webgpu') => {
      await selectBackend(backend);
      const model = createRandomModel(tinyConfigs['qwen3, grouped queries'], 1, { deviation: 0.25 });
      const quantizer = (bits: number | null) => bits && { ...asymmetric, bits };
      for (let index = 0; index < model.config.layers; index++) {
        const layer = plainActivations();
        for (const site of inputSites) layer[site].quantizer = quantizer(inputs) || null;
        layer.keys.quantizer = quantizer(cache) || null;
        layer.values.quantizer = quantizer(cache) || null;
        model.setActivations(index, layer);
      }
      const generator = createGenerator(model, { slots: 8, capacity: 64 });
      expect([generator.implementation, generator.reason]).toEqual([backend === 'wasm' ? 'cpu' : 'gpu', null]);
      const results = await collect(generator, requests(8, 41), settings);
      await generator.dispose();
      model.dispose();
      return results;
    };
    const [gpu, cpu] = [await decoded('webgpu'), await decoded('wasm')];
    await selectBackend('webgpu');
    // Products differ in the last bits: a value that lies that close to the middle between two levels takes the other one, and what follows strays.
    let close = 0;
    for (const [key, { tokenIds, logprobs }] of gpu) {
      const other = cpu.get(key)!;
      const parting = tokenIds.findIndex((id, step) => id !== other.tokenIds[step]);
      const distances = logprobs!.slice(0, parting < 0 ? 24 : parting).map((value, step) => Math.abs(value - other.logprobs![step]!));
      expect(Math.max(0, ...distances)).toBeLessThan(0.1);
      if (parting < 0 && Math.max(...distances) < 1e-3) close++;
    }
    expect(close).toBeGreaterThanOrEqual(inputs === 8 ? 4 : 7);
  });

  it('takes no other quantizers into a generator', async () => {
    const model = createRandomModel(tinyConfigs['qwen3, grouped queries'], 1, { deviation: 0.25 });
    const generator = createGenerator(model, { slots: 1, capacity: 16 });
    model.setActivations(0, { ...plainActivations(), values: { quantizer: asymmetric } });
    expect(generator.update(model)).toBe(false);
    await generator.dispose();
    model.dispose();
  });
});
