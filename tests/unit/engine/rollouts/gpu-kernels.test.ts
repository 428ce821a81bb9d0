/** Kernels of the GPU decode engine against double-precision loops, and its sampler against the processor's. */
import { beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import { deviation } from '../../../../src-main/engine/gpu-check/check.ts';
import { runShader } from '../../../../src-main/engine/gpu-check/run-shader.ts';
import {
  lanesOutputs,
  lanesProduct,
  type ProductShape,
  productColumns,
  tilesProduct,
} from '../../../../src-main/engine/rollouts/gpu/kernels/products.ts';
import { normShader } from '../../../../src-main/engine/rollouts/gpu/kernels/rows.ts';
import { notFinite, samplerShape, samplerWords, sampleShader } from '../../../../src-main/engine/rollouts/gpu/kernels/sample.ts';
import { Sampler } from '../../../../src-main/engine/rollouts/sampler.ts';
import type { SamplingSettings } from '../../../../src-main/engine/rollouts/settings.ts';
import { normals, testBackends } from '../ops/op-check.ts';

const floats = (count: number, seed: number) => Float32Array.from(normals(count, seed));

describe.skipIf(!testBackends.includes('webgpu'))('kernels of the GPU decode engine', () => {
  beforeAll(async () => {
    await selectBackend('webgpu');
  });

  const inFeatures = 52;
  const outFeatures = 38;
  const shapes: Record<string, ProductShape> = {
    store: { format: { kind: 'float32' }, inFeatures, outFeatures, stride: 40, bias: true, epilogue: 'store' },
    add: { format: { kind: 'float32' }, inFeatures, outFeatures, stride: 40, bias: false, epilogue: 'add' },
    swiglu: { format: { kind: 'float32' }, inFeatures, outFeatures, stride: 20, bias: false, epilogue: 'swiglu' },
  };

  /** y after the product, in double precision. */
  function product(shape: ProductShape, x: Float32Array, w: Float32Array, y: Float32Array, bias: Float32Array, rows: number): Float64Array {
    const sum = (row: number, n: number) => {
      let total = shape.bias ? bias[n]! : 0;
      for (let k = 0; k < shape.inFeatures; k++) total += x[row * shape.inFeatures + k]! * w[n * shape.inFeatures + k]!;
      return total;
    };
    const result = Float64Array.from(y);
    const columns = productColumns(shape);
    for (let row = 0; row < rows; row++) {
      for (let n = 0; n < columns; n++) {
        const at = row * shape.stride + n;
        const value = sum(row, n);
        if (shape.epilogue === 'add') result[at]! += value;
        else result[at] = shape.epilogue === 'swiglu' ? (value / (1 + Math.exp(-value))) * sum(row, n + columns) : value;
      }
    }
    return result;
  }

  it.each(Object.keys(shapes))('multiply by weights, %s', async (name) => {
    const shape = shapes[name]!;
    const rows = 32;
    const [x, w, y, bias] = [
      floats(rows * inFeatures, 1),
      floats(outFeatures * inFeatures, 2),
      floats(rows * shape.stride, 3),
      floats(outFeatures, 4),
    ];
    const operands = [x, y, Uint32Array.of(0, 0, 0, 0), ...(shape.bias ? [bias] : []), w];
    const compare = (actual: ArrayLike<number>, count: number) => {
      const expected = product(shape, x, w, y, bias, count).subarray(0, count * shape.stride);
      expect(deviation(Array.from(actual).slice(0, count * shape.stride), expected)).toBeLessThan(1e-5);
    };
    for (const count of [1, 4]) {
      const [lanes] = await runShader(lanesProduct(shape, count), operands, [Math.ceil(productColumns(shape) / lanesOutputs)], {
        reads: [1],
        uniform: 2,
      });
      compare(lanes!, count);
    }
    const outcomes: ArrayLike<number>[] = [];
    for (const tile of [
      { rows: 16, columns: 16 },
      { rows: 32, columns: 32 },
    ]) {
      const groups = [Math.ceil(outFeatures / tile.columns), rows / tile.rows] as const;
      const [tiles] = await runShader(tilesProduct(shape, tile), operands, groups, { reads: [1], uniform: 2 });
      compare(tiles!, rows);
      outcomes.push(tiles!);
    }
    expect(outcomes[1]).toEqual(outcomes[0]);
  });

  it('normalize selected rows', async () => {
    const size = 20;
    const [x, weight] = [floats(5 * size, 5), floats(size, 6)];
    const selected = Uint32Array.of(4, 1);
    const [y] = await runShader(normShader(size, 1e-6, true), [x, weight, new Float32Array(2 * size), selected], [2], { reads: [2] });
    selected.forEach((row, place) => {
      const values = x.subarray(row * size, (row + 1) * size);
      const factor = 1 / Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / size + 1e-6);
      const expected = values.map((value, i) => value * factor * weight[i]!);
      expect(deviation((y as Float32Array).subarray(place * size, (place + 1) * size), expected)).toBeLessThan(1e-6);
    });
  });

  describe('the sampler', () => {
    const vocabSize = 700;
    const rows = 24;
    const base: SamplingSettings = { temperature: 1, topP: 1, topK: 0, maxNewTokens: 9, stopTokenIds: [], logprobs: true };
    const settings: Record<string, SamplingSettings> = {
      greedy: { ...base, temperature: 0 },
      'all tokens': { ...base, temperature: 0.7 },
      'top-p': { ...base, temperature: 0.8, topP: 0.9 },
      'top-p of almost all': { ...base, temperature: 1.5, topP: 0.9999 },
      'top-k': { ...base, topK: 20 },
      'top-k, then top-p': { ...base, temperature: 0.6, topK: 20, topP: 0.95 },
      'top-k of one': { ...base, topK: 1 },
      'more of top-k than there are': { ...base, topK: 5000, topP: 0.5 },
    };

    /** Tokens and log-probabilities of each row of logits. */
    async function draw(logits: Float32Array, setting: SamplingSettings, uniforms: Float32Array, vocab = vocabSize) {
      const count = uniforms.length;
      const shader = sampleShader(samplerShape({ vocabSize: vocab, slots: count }, setting));
      const words = samplerWords({ vocabSize: vocab, slots: count }, setting, []);
      const places = Uint32Array.from({ length: 2 * count }, (_, i) => (i % 2 === 0 ? i / 2 : 3));
      const selected = Uint32Array.from({ length: count }, (_, i) => i);
      const states = Uint32Array.from({ length: 4 * count }, (_, i) => [0, 3, 5, 0][i % 4]!);
      const drawn = setting.temperature > 0 ? [Float32Array.of(...uniforms, ...uniforms)] : [];
      const operands = [logits, places, selected, states, new Uint32Array(4 * count), Uint32Array.of(1), words, ...drawn];
      const [after, outcomes] = await runShader(shader, operands, [count], { reads: [3, 4] });
      const bits = new Float32Array(outcomes!.buffer);
      return Array.from({ length: count }, (_, row) => ({
        token: (outcomes as Uint32Array)[2 * (count + row)]!,
        logprob: bits[2 * (count + row) + 1]!,
        state: [...after!.subarray(4 * row, 4 * row + 3)],
      }));
    }

    it.each(Object.keys(settings))('draws what the processor draws: %s', async (name) => {
      const setting = settings[name]!;
      const stream = new RandomStream(3, name);
      const logits = floats(rows * vocabSize, 8).map((value, i) => Math.fround((i % 7 === 0 ? 4 : 2) * value));
      // Equal logits, so that ranks by id matter.
      for (let row = 0; row < rows; row++) for (let i = 0; i < 40; i++) logits[row * vocabSize + 10 * i] = Math.fround(row / 4);
      const uniforms = Float32Array.from({ length: rows }, () => stream.uniform());
      const sampler = new Sampler(vocabSize, setting);
      const drawn = await draw(logits, setting, uniforms);
      const expected = Array.from(uniforms, (uniform, row) => {
        const token = sampler.sample(logits, row * vocabSize, uniform);
        return { token, logprob: expect.closeTo(sampler.logprob, 4), state: [token, 4, 4] };
      });
      expect(drawn).toEqual(expected);
    });

    it('draws in proportion', async () => {
      const count = 4000;
      const logits = new Float32Array(count * 8).map((_, i) => Math.log([1, 2, 3, 4, 0.5, 6, 0.25, 8][i % 8]!));
      const stream = new RandomStream(4, 'proportion');
      const drawn = await draw(
        logits,
        { ...base, topP: 0.9 },
        Float32Array.from({ length: count }, () => stream.uniform()),
        8,
      );
      const share = (token: number) => drawn.filter((row) => row.token === token).length / count;
      // 8, 6, 4, 3, 2 hold 0.93 of the 24.75; the others are cut off.
      expect([share(0), share(4), share(6)]).toEqual([0, 0, 0]);
      for (const [token, weight] of [
        [7, 8],
        [5, 6],
        [3, 4],
        [2, 3],
        [1, 2],
      ] as const)
        expect(share(token)).toBeCloseTo(weight / 23, 1);
    });

    it('reports logits that are not finite numbers', async () => {
      for (const value of [Number.NaN, Infinity]) {
        const logits = floats(2 * vocabSize, 9);
        logits[vocabSize + 600] = value;
        const [good, bad] = await draw(logits, { ...base, topP: 0.9 }, Float32Array.of(0.5, 0.5));
        expect(good!.token).not.toBe(notFinite);
        expect(bad!).toMatchObject({ token: notFinite, state: [expect.anything(), 4, 0] });
      }
    });
  });
});
