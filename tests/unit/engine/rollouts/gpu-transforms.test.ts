/** Online transforms in the GPU decode engine: its kernels against double precision, and whole decodes beside tensor operations. */
import { beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { deviation } from '../../../../src-main/engine/gpu-check/check.ts';
import { runShader } from '../../../../src-main/engine/gpu-check/run-shader.ts';
import type { LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import {
  inputSites,
  type LayerActivations,
  plainActivations,
  type TokenQuantizer,
} from '../../../../src-main/engine/model/layer-activations.ts';
import { rotatedActivations, rotateGlobals, rotateLayer, rotationsFor } from '../../../../src-main/engine/quantizers/quarot.ts';
import { createGenerator, type GenerationResult, type SamplingSettings } from '../../../../src-main/engine/rollouts/generator.ts';
import { appendShader, type CacheShape, cacheBytes } from '../../../../src-main/engine/rollouts/gpu/kernels/cache.ts';
import { quantizerWordsOf } from '../../../../src-main/engine/rollouts/gpu/kernels/token-grid.ts';
import {
  isWhole,
  type TransformShape,
  transformGroups,
  transformShader,
} from '../../../../src-main/engine/rollouts/gpu/kernels/transform.ts';
import { normals, testBackends } from '../ops/op-check.ts';
import { fakeQuantized } from './fake-quantized.ts';
import { randomActivations, setRandomActivations } from './random-activations.ts';
import { collect, requests, type TinyName, tinyConfigs, tinyModel, tinyNames } from './tiny-models.ts';

const floats = (count: number, seed: number) => Float32Array.from(normals(count, seed));
const four: TokenQuantizer = { bits: 4, symmetric: false, clipHigh: 0.95, clipLow: 0.9, outlierThreshold: null };

describe.skipIf(!testBackends.includes('webgpu'))('online transforms in the GPU decode engine', () => {
  beforeAll(async () => {
    await selectBackend('webgpu');
  });

  // Whole rows and shared ones; columns read one by one and by four; blocks that end beyond the row; more rows than a block of four columns holds.
  const shapes: [rows: number, columns: number, matrices: 'both' | 'left' | 'right', groups: number][] = [
    [7, 4, 'both', 1],
    [5, 6, 'both', 1],
    [64, 64, 'both', 1],
    [1, 96, 'right', 1],
    [30, 200, 'both', 13],
    [140, 64, 'left', 4],
    [129, 34, 'both', 3],
    [1100, 8, 'left', 4],
  ];
  const quantized = ['5 × 6', '64 × 64'];
  it.each(shapes)('multiply rows of %i × %i by %s', async (rows, columns, matrices, groups) => {
    const shape: TransformShape = { rows, columns, left: matrices !== 'right', right: matrices !== 'left' };
    expect(transformGroups(shape)).toBe(groups);
    const size = rows * columns;
    const count = 3;
    const x = floats(count * size, 1);
    const left = floats(rows * rows, 2).map((value) => value / Math.sqrt(rows));
    const right = floats(columns * columns, 3).map((value) => value / Math.sqrt(columns));
    const given = [...(shape.left ? [left] : []), ...(shape.right ? [right] : [])];
    const operands = [x, new Float32Array(count * size), ...given];
    const [y] = (await runShader(transformShader(shape, false), operands, [count, groups], { reads: [1] })) as [Float32Array];
    expect(deviation(y, transformed(shape, x, left, right))).toBeLessThan(2e-6 * Math.sqrt(Math.max(rows, columns)));
    expect(isWhole(shape)).toBe(groups === 1);
    if (!quantized.includes(`${rows} × ${columns}`)) return;
    for (const quantizer of [four, { ...four, bits: 8, symmetric: true }]) {
      const [levels] = (await runShader(transformShader(shape, true), [...operands, quantizerWordsOf([quantizer])], [count, 1], {
        reads: [1],
        uniform: operands.length,
      })) as [Float32Array];
      for (let row = 0; row < count; row++) {
        const part = (of: Float32Array) => of.slice(row * size, (row + 1) * size);
        expect(Array.from(part(levels), (value) => value + 0)).toEqual(fakeQuantized(part(y), quantizer));
      }
    }
  });

  it.each([
    ['queries and keys', { queries: true, keys: true }],
    ['keys alone', { queries: false, keys: true }],
    ['queries alone', { queries: true, keys: false }],
  ] as const)('multiply heads after their rotation: %s', async (_, which) => {
    const config = { ...tinyConfigs['qwen3, grouped queries'], headDim: 20 };
    const { heads, kvHeads, headDim, rmsNormEps } = config;
    const half = headDim / 2;
    const width = (heads + 2 * kvHeads) * headDim;
    const count = 5;
    const cache: CacheShape = { keys: 'float32', values: 'float32', slots: 1, kvHeads, headDim, capacity: 8 };
    const qkv = floats(count * width, 4);
    const places = Uint32Array.from({ length: 2 * count }, (_, i) => (i % 2 === 0 ? 0 : (i - 1) / 2));
    const angles = Float32Array.from({ length: 8 * half }, (_, i) => i / 7);
    const [cosines, sines] = [angles.map(Math.cos), angles.map(Math.sin)];
    const norms = floats(2 * headDim, 5);
    const [queryMatrix, keyMatrix] = [floats(headDim ** 2, 6), floats(headDim ** 2, 7)];
    const matrices = Float32Array.of(...(which.queries ? queryMatrix : []), ...(which.keys ? keyMatrix : []));
    const empty = () => new Uint32Array(cacheBytes('float32', cache) / 4);
    const shader = appendShader(config, cache, { transformed: which, quantized: { keys: false, values: false } });
    const operands = [qkv, places, cosines, sines, norms, empty(), empty(), matrices];
    const [after, keyWords] = await runShader(shader, operands, [heads + 2 * kvHeads, count], { reads: [0, 5] });
    const keys = new Float32Array(keyWords!.buffer);
    const expected = (row: number, head: number, matrix: Float32Array | null, norm: number) => {
      const x = qkv.subarray(row * width + head * headDim, row * width + (head + 1) * headDim);
      const factor = 1 / Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / headDim + rmsNormEps);
      const normed = Float64Array.from(x, (value, d) => value * factor * norms[norm + d]!);
      const turned = normed.map((value, d) => {
        const [c, s] = [cosines[row * half + (d % half)]!, sines[row * half + (d % half)]!];
        return d < half ? value * c - normed[d + half]! * s : value * c + normed[d - half]! * s;
      });
      return matrix ? turned.map((_, j) => turned.reduce((sum, value, k) => sum + value * matrix[k * headDim + j]!, 0)) : turned;
    };
    for (let row = 0; row < count; row++) {
      for (let head = 0; head < heads; head++) {
        const query = (after as Float32Array).subarray(row * width + head * headDim, row * width + (head + 1) * headDim);
        const exact = expected(row, head, which.queries ? queryMatrix : null, 0).map((value) => value / Math.sqrt(headDim));
        expect(deviation(query, exact)).toBeLessThan(2e-6);
      }
      for (let head = 0; head < kvHeads; head++) {
        const key = Array.from({ length: headDim }, (_, d) => keys[4 * ((head * (headDim / 4) + (d >> 2)) * 8 + row) + (d % 4)]!);
        expect(deviation(key, expected(row, heads + head, which.keys ? keyMatrix : null, headDim))).toBeLessThan(2e-6);
      }
    }
  });

  const greedy: SamplingSettings = {
    temperature: 0,
    topP: 1,
    topK: 0,
    maxNewTokens: 24,
    stopTokenIds: [],
    ignoreEndTokens: true,
    logprobs: true,
  };
  const list = requests(8, 41);

  async function generate(model: LanguageModel, implementation: 'gpu' | 'tensor') {
    const generator = createGenerator(model, { slots: 8, capacity: 64, ...(implementation === 'tensor' ? { implementation } : {}) });
    expect([generator.implementation, generator.reason]).toEqual([implementation, null]);
    const results = await collect(generator, list, greedy);
    await generator.dispose();
    return results;
  }

  /** FlatQuant's form: every input, queries and keys, each by matrices of its own. */
  const random = (bits: number | null) => async (model: LanguageModel) => setRandomActivations(model, { inputs: bits, cache: bits });
  /** QuaRot's own rotations. */
  const quarot = (bits: number | null) => async (model: LanguageModel) => {
    const quantizer = bits === null ? null : { ...four, bits };
    const quantizers: LayerActivations = plainActivations();
    for (const site of inputSites) quantizers[site].quantizer = quantizer;
    quantizers.keys.quantizer = quantizer;
    quantizers.values.quantizer = quantizer;
    const rotations = rotationsFor(model.config, 3, () => {});
    await rotateGlobals(model, rotations);
    for (let index = 0; index < model.config.layers; index++) {
      await rotateLayer(model, index, rotations);
      model.setActivations(index, rotatedActivations(quantizers, rotations));
    }
  };
  // A value as close to the middle between two levels as the engines' sums differ takes the other one, and what follows strays.
  const cases: [string, (model: LanguageModel) => Promise<void>, strays: number][] = [
    ['QuaRot', quarot(null), 0],
    ['QuaRot A4KV4', quarot(4), 1],
    ['FlatQuant', random(null), 0],
    ['FlatQuant A4KV4', random(4), 2],
  ];
  // Quantizers are shaders of their own, which a software adapter takes long to compile: one architecture has them.
  const decoded: [TinyName, (typeof cases)[number]][] = tinyNames.flatMap((name, place) =>
    cases.filter(([kind]) => place === 0 || !kind.includes('A4')).map((each): [TinyName, (typeof cases)[number]] => [name, each]),
  );
  it.each(decoded.map(([name, [kind, ...rest]]) => [kind, name, ...rest] as const))(
    'decode as tensor operations do: %s, %s',
    { timeout: 300_000 },
    async (_, name, prepare, strays) => {
      const decodedBy = async (implementation: 'gpu' | 'tensor') => {
        await selectBackend(implementation === 'gpu' ? 'webgpu' : 'wasm');
        const model = tinyModel(name);
        await prepare(model);
        const results = await generate(model, implementation);
        model.dispose();
        return results;
      };
      const expected = await decodedBy('tensor');
      const results = await decodedBy('gpu');
      const close = [...results].filter(([key, result]) => isClose(result, expected.get(key)!));
      expect(close.length).toBeGreaterThanOrEqual(list.length - strays);
    },
  );

  it('take new matrices and clip factors into a generator, and no others', async () => {
    const name: TinyName = 'qwen3, grouped queries';
    const model = tinyModel(name);
    setRandomActivations(model, { inputs: 4, cache: 4 });
    const generator = createGenerator(model, { slots: 8, capacity: 64 });
    const before = await collect(generator, list, greedy);
    for (let index = 0; index < model.config.layers; index++) {
      const layer = randomActivations(model, index, { inputs: 4, cache: 4 }, 2);
      layer.mlpInput.quantizer!.clipHigh = 0.8;
      layer.keys.quantizer!.clipLow = 0.7;
      model.setActivations(index, layer);
    }
    expect(generator.update(model)).toBe(true);
    const after = await collect(generator, list, greedy);
    expect(after).not.toEqual(before);
    expect(after).toEqual(await generate(model, 'gpu'));
    const layer = randomActivations(model, 1, { inputs: 4, cache: 4 }, 2);
    for (const other of [
      { ...layer, mlpInput: { ...layer.mlpInput, transform: null } },
      { ...layer, keys: { ...layer.keys, transform: null } },
      null,
    ]) {
      model.setActivations(1, other);
      expect(generator.update(model)).toBe(false);
    }
    await generator.dispose();
    model.dispose();
  });

  it('leave to tensor operations what no workgroup holds, with the reason', async () => {
    const model = tinyModel('qwen3, grouped queries');
    const layer = plainActivations();
    layer.mlpInput.transform = { rows: 5000, columns: 4, left: new Float32Array(1), right: null };
    const { layerActivations } = model;
    model.layerActivations = () => [layer, null];
    const generator = createGenerator(model, { slots: 1, capacity: 16 });
    expect(generator.implementation).toBe('tensor');
    expect(generator.reason).toMatch(/left factor has 5000 rows, more than 4096/);
    model.layerActivations = layerActivations;
    await generator.dispose();
    model.dispose();
  });
});

/** leftᵀ · X · right of every row, in double precision. */
function transformed(
  { rows, columns, left: hasLeft, right: hasRight }: TransformShape,
  x: Float32Array,
  left: Float32Array,
  right: Float32Array,
) {
  const result = new Float64Array(x.length);
  const middle = new Float64Array(rows * columns);
  for (let start = 0; start < x.length; start += rows * columns) {
    for (let a = 0; a < rows; a++) {
      for (let j = 0; j < columns; j++) {
        let sum = hasRight ? 0 : x[start + a * columns + j]!;
        if (hasRight) for (let c = 0; c < columns; c++) sum += x[start + a * columns + c]! * right[c * columns + j]!;
        middle[a * columns + j] = sum;
      }
    }
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) {
        let sum = hasLeft ? 0 : middle[i * columns + j]!;
        if (hasLeft) for (let a = 0; a < rows; a++) sum += left[a * rows + i]! * middle[a * columns + j]!;
        result[start + i * columns + j] = sum;
      }
    }
  }
  return result;
}

/** The same tokens with nearly the same log-probabilities; where tokens part, those before are alike. */
function isClose({ tokenIds, logprobs }: GenerationResult, other: GenerationResult): boolean {
  const parting = tokenIds.findIndex((id, step) => id !== other.tokenIds[step]);
  const distances = logprobs!
    .slice(0, parting < 0 ? tokenIds.length : parting)
    .map((value, step) => Math.abs(value - other.logprobs![step]!));
  expect(Math.max(0, ...distances)).toBeLessThan(0.1);
  return parting < 0 && Math.max(...distances) < 1e-3;
}
