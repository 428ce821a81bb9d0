/** The cache of the GPU decode engine in every form it can be held in: against double precision, and whole decodes beside a float32 cache. */
import { beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { decodeHalves } from '../../../../src-main/engine/formats/float16.ts';
import { deviation } from '../../../../src-main/engine/gpu-check/check.ts';
import { runShader } from '../../../../src-main/engine/gpu-check/run-shader.ts';
import { loadModel } from '../../../../src-main/engine/model/load.ts';
import { GpuGenerator } from '../../../../src-main/engine/rollouts/gpu/gpu-generator.ts';
import { attentionShader } from '../../../../src-main/engine/rollouts/gpu/kernels/attention.ts';
import { appendShader, type CacheShape, cacheBytes, copyShader } from '../../../../src-main/engine/rollouts/gpu/kernels/cache.ts';
import type { CacheType } from '../../../../src-main/engine/rollouts/settings.ts';
import { goldenModel } from '../../../golden/fixtures.ts';
import { normals, testBackends } from '../ops/op-check.ts';
import { collect, tinyConfigs } from './tiny-models.ts';

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

/** After all rows are appended: queries, and the words of keys and values. */
async function append(cache: CacheShape) {
  const empty = () => new Uint32Array(cacheBytes(cache) / 4);
  const operands = [qkv, places, Float32Array.from(cosines), Float32Array.from(sines), empty(), empty()];
  const [queries, keys, values] = await runShader(appendShader(config, cache), operands, [heads + 2 * kvHeads, positions + 1], {
    reads: [0, 4, 5],
  });
  return { queries: queries as Float32Array, keys: keys as Uint32Array, values: values as Uint32Array };
}

describe.skipIf(!testBackends.includes('webgpu'))('the cache of the GPU decode engine', () => {
  beforeAll(async () => {
    await selectBackend('webgpu');
  });

  it('holds halves, and attention computes with exactly those', async () => {
    const cache: CacheShape = { kind: 'float16', slots: 2, kvHeads, headDim, capacity };
    expect(cacheBytes(cache)).toBe(2 * 2 * kvHeads * headDim * capacity);
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

  it('copies prompts between slots as they lie', async () => {
    const cache: CacheShape = { kind: 'float16', slots: 2, kvHeads, headDim, capacity };
    const { queries, keys, values } = await append(cache);
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
  ): Float64Array {
    const output = new Float64Array((positions + 1) * heads * headDim);
    for (let row = 0; row < positions; row++) {
      for (let head = 0; head < heads; head++) {
        const shared = Math.floor((head * kvHeads) / heads);
        const weights = Array.from({ length: row + 1 }, (_, p) => {
          let sum = 0;
          for (let d = 0; d < headDim; d++) sum += rotated(row, head, d) * key(shared, p, d);
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
});
