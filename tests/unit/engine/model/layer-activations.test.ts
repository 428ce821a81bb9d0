import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import {
  ActivationOps,
  inputSites,
  isPlain,
  type KroneckerTransform,
  type LayerActivations,
  plainActivations,
  siteModules,
  type TokenQuantizer,
  withoutQuantizers,
} from '../../../../src-main/engine/model/layer-activations.ts';
import { layerLinears } from '../../../../src-main/engine/model/parameters.ts';
import { expectClose, normals, testBackends } from '../ops/op-check.ts';
import { tinyModel } from '../rollouts/tiny-models.ts';

const quantizer: TokenQuantizer = { bits: 4, symmetric: false, clipHigh: 0.9, clipLow: 0.95, outlierThreshold: null };
const int8: TokenQuantizer = { bits: 8, symmetric: true, clipHigh: 1, clipLow: 1, outlierThreshold: 1.5 };
const matrix = (size: number, seed: number) => Float32Array.from(normals(size * size, seed));

function everything(): LayerActivations {
  return {
    attentionInput: { transform: { rows: 2, columns: 4, left: matrix(2, 1), right: matrix(4, 2) }, quantizer },
    attentionOutput: { transform: { rows: 4, columns: 2, left: matrix(4, 3), right: null }, quantizer: null },
    mlpInput: { transform: { rows: 2, columns: 4, left: null, right: matrix(4, 4) }, quantizer: int8 },
    mlpOutput: { transform: null, quantizer: { ...quantizer, bits: 2 } },
    keys: { transform: matrix(6, 5), queryTransform: matrix(6, 6), quantizer: { ...quantizer, bits: 3 } },
    values: { quantizer },
  };
}

describe('a layer’s activations', () => {
  it('belong to all seven linears of a layer, each to one site', () => {
    expect(inputSites.flatMap((site) => siteModules[site])).toEqual([...layerLinears]);
  });

  it('are plain until anything is set', () => {
    expect(isPlain(plainActivations())).toBe(true);
    const full = everything();
    for (const site of inputSites) {
      for (const part of ['transform', 'quantizer'] as const) {
        const single = plainActivations();
        Object.assign(single[site], { [part]: full.attentionInput[part] });
        expect(isPlain(single), `${site}.${part}`).toBe(false);
      }
    }
    for (const part of ['transform', 'queryTransform', 'quantizer'] as const) {
      const single = plainActivations();
      Object.assign(single.keys, { [part]: full.keys[part] });
      expect(isPlain(single), `keys.${part}`).toBe(false);
    }
    expect(isPlain({ ...plainActivations(), values: { quantizer } })).toBe(false);
  });

  it('without quantizers keep every transform', () => {
    const full = everything();
    const stripped = withoutQuantizers(full);
    for (const site of inputSites) expect(stripped[site]).toEqual({ transform: full[site].transform, quantizer: null });
    expect(stripped.keys).toEqual({ ...full.keys, quantizer: null });
    expect(stripped.values.quantizer).toBeNull();
    expect(full).toEqual(everything());
    expect(isPlain(withoutQuantizers({ ...plainActivations(), mlpOutput: full.mlpOutput }))).toBe(true);
  });
});

/** Rows times left ⊗ right, written out in double precision. */
function transformed(x: Float64Array, { rows, columns, left, right }: KroneckerTransform): Float64Array {
  const entry = (values: Float32Array | null, size: number, i: number, j: number) => (values ? values[i * size + j]! : Number(i === j));
  const size = rows * columns;
  return x.map((_, place) => {
    const start = place - (place % size);
    const j = place % size;
    let sum = 0;
    for (let i = 0; i < size; i++) {
      const outer = entry(left, rows, Math.floor(i / columns), Math.floor(j / columns));
      sum += x[start + i]! * outer * entry(right, columns, i % columns, j % columns);
    }
    return sum;
  });
}

/** Every row to its nearest levels, written out in double precision (no value here lies between two levels). */
function quantized(x: Float64Array, size: number, { bits, symmetric, clipHigh, clipLow, outlierThreshold }: TokenQuantizer): Float64Array {
  const y = x.slice();
  for (let start = 0; start < x.length; start += size) {
    const row = x.subarray(start, start + size);
    const isOutlier = (value: number) => outlierThreshold !== null && Math.abs(value) >= outlierThreshold;
    const kept = row.filter((value) => !isOutlier(value));
    const high = clipHigh * Math.max(0, ...kept);
    const low = clipLow * Math.min(0, ...kept);
    const half = 2 ** (bits - 1);
    const scale = symmetric ? Math.max(high, -low) / (half - 1) : (high - low) / (2 ** bits - 1);
    const zero = symmetric ? 0 : Math.round(-low / scale);
    const [least, most] = symmetric ? [-half, half - 1] : [0, 2 ** bits - 1];
    for (const [j, value] of row.entries()) {
      if (!isOutlier(value)) y[start + j] = (Math.min(most, Math.max(least, Math.round(value / scale) + zero)) - zero) * scale;
    }
  }
  return y;
}

describe.each(testBackends)('ActivationOps on %s', (backend) => {
  it('transforms and quantizes as written out in double precision', async () => {
    await selectBackend(backend);
    const before = tf.memory().numTensors;
    const settings = everything();
    const ops = new ActivationOps(settings);
    const compute = (values: Float64Array, shape: number[], work: (x: tf.Tensor) => tf.Tensor) =>
      tf.tidy(() => tf.clone(work(tf.tensor(Float32Array.from(values), shape))));
    for (const [index, site] of inputSites.entries()) {
      const x = normals(3 * 8, 20 + index);
      const { transform, quantizer: own } = settings[site];
      const moved = transform ? transformed(x, transform) : x;
      const y = compute(x, [3, 8], (t) => ops.transform(site, t as tf.Tensor2D));
      await expectClose(y, moved, 1e-6, `${site} transformed`);
      const z = compute(x, [3, 8], (t) => ops.quantize(site, t as tf.Tensor2D));
      await expectClose(z, own ? quantized(x, 8, own) : x, 1e-6, `${site} quantized`);
      tf.dispose([y, z]);
    }
    const { keys, values } = settings;
    const heads = normals(2 * 3 * 6, 9);
    const byHead = (matrixOf: Float32Array) => transformed(heads, { rows: 1, columns: 6, left: null, right: matrixOf });
    const shape = [1, 2, 3, 6];
    const [q, k, v] = [ops.queries, ops.keys, ops.values].map((op) => compute(heads, shape, (x) => op.call(ops, x)));
    expect([q!.shape, k!.shape, v!.shape]).toEqual([shape, shape, shape]);
    await expectClose(q!, byHead(keys.queryTransform!), 1e-6, 'queries');
    await expectClose(k!, quantized(byHead(keys.transform!), 6, keys.quantizer!), 1e-6, 'keys');
    await expectClose(v!, quantized(heads, 6, values.quantizer!), 1e-6, 'values');
    tf.dispose([q!, k!, v!]);
    ops.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('a model', () => {
  it('shows hooks the inputs of linears transformed, not yet quantized, and computes with both', async () => {
    await selectBackend('wasm');
    const before = tf.memory().numTensors;
    const model = tinyModel('qwen3, grouped queries');
    const run = async () => {
      const seen: number[][] = [];
      const onLinearInput = (module: string, input: tf.Tensor2D) => {
        if (module === 'model.layers.1.mlp.down_proj') seen.push([...input.dataSync()]);
      };
      const hidden = tf.tidy(() => model.forward(tf.tensor2d([[5, 9, 11]], undefined, 'int32'), { onLinearInput }));
      const output = [...(await hidden.data())];
      hidden.dispose();
      return { seen: seen[0]!, output };
    };
    const plain = await run();
    const transform: KroneckerTransform = { rows: 12, columns: 4, left: matrix(12, 1), right: matrix(4, 2) };
    model.setActivations(1, { ...plainActivations(), mlpOutput: { transform, quantizer: null } });
    const moved = await run();
    model.setActivations(1, { ...plainActivations(), mlpOutput: { transform, quantizer } });
    const rounded = await run();
    const expected = transformed(Float64Array.from(plain.seen), transform);
    const largest = Math.max(...expected.map(Math.abs));
    for (const [i, value] of moved.seen.entries()) expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-5 * largest);
    expect(rounded.seen).toEqual(moved.seen);
    expect(rounded.output).not.toEqual(moved.output);
    expect(model.layerActivations()[0]).toBeNull();
    model.setActivations(1, plainActivations());
    expect(model.activationOps(1)).toBeNull();
    expect((await run()).output).toEqual(plain.output);
    model.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});
