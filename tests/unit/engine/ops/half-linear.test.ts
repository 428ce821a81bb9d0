/** Linear layers over 16-bit weights: every half word's value, products and gradients against float64, and a model that keeps its weights so. */
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { writeSafetensors } from '../../../../src-main/engine/formats/safetensors.ts';
import { loadModel } from '../../../../src-main/engine/model/load.ts';
import { decoderLinears } from '../../../../src-main/engine/model/parameters.ts';
import { firstNonFiniteHalf, type HalfType, halfLinear, packHalf, unpackHalf } from '../../../../src-main/engine/ops/index.ts';
import { temporaryFolder } from '../../../support/temporary-folder.ts';
import { writeTinyModel } from '../../../support/tiny-model.ts';
import { expectClose, normals, testBackends } from './op-check.ts';

const types: HalfType[] = ['f16', 'bf16'];

/** Value of a half word by the formats' definitions. */
function exactValue(word: number, type: HalfType): number {
  const [exponentBits, fractionBits] = type === 'f16' ? [5, 10] : [8, 7];
  const bias = 2 ** (exponentBits - 1) - 1;
  const fraction = (word & (2 ** fractionBits - 1)) / 2 ** fractionBits;
  const exponent = (word >> fractionBits) & (2 ** exponentBits - 1);
  const magnitude = exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias);
  return word & 0x8000 ? -magnitude : magnitude;
}

/** Words whose values are of ordinary size, the same for the same seed. */
function someWords(count: number, type: HalfType, seed: number): Uint16Array {
  return Uint16Array.from(normals(count, seed), (value) => {
    if (type === 'bf16') return new Uint32Array(new Float32Array([value]).buffer)[0]! >>> 16;
    const exponent = Math.max(-14, Math.floor(Math.log2(Math.abs(value))));
    const fraction = Math.min(1023, Math.floor((Math.abs(value) / 2 ** exponent - 1) * 1024));
    return (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | Math.max(0, fraction);
  });
}

const bytesOf = (words: Uint16Array) => new Uint8Array(words.buffer);

describe.each(testBackends)('16-bit weights on %s', (backend) => {
  it.each(types)('of %s have the values of their words', async (type) => {
    await selectBackend(backend);
    const exponent = type === 'f16' ? 0x7c00 : 0x7f80;
    const words = Uint16Array.from({ length: 65536 }, (_, word) => word);
    // Devices may flush what is smaller than the smallest normal number of float32.
    const isPlain = (word: number) => (word & exponent) !== exponent && (type === 'f16' || (word & exponent) !== 0);
    const finite = words.map((word) => (isPlain(word) ? word : 0));
    const weight = packHalf(bytesOf(finite), [256, 256], type);
    const values = await unpackHalf(weight).data();
    for (const [index, word] of finite.entries())
      if (values[index] !== exactValue(word, type)) expect(values[index], `word ${word}`).toBe(exactValue(word, type));
    weight.words.dispose();
  });

  it.each(types)('of %s multiply like their float64 values, and pass the gradient on', async (type) => {
    await selectBackend(backend);
    for (const [rows, outFeatures, inFeatures] of [
      [5, 6, 8],
      [70, 33, 130],
    ] as const) {
      const words = someWords(outFeatures * inFeatures, type, 3);
      const [x, bias, dy] = [normals(rows * inFeatures, 1), normals(outFeatures, 2), normals(rows * outFeatures, 4)];
      const expected = new Float64Array(rows * outFeatures);
      const expectedGradient = new Float64Array(rows * inFeatures);
      for (let r = 0; r < rows; r++) {
        for (let o = 0; o < outFeatures; o++) {
          expected[r * outFeatures + o] = bias[o]!;
          for (let i = 0; i < inFeatures; i++) {
            const w = exactValue(words[o * inFeatures + i]!, type);
            expected[r * outFeatures + o]! += x[r * inFeatures + i]! * w;
            expectedGradient[r * inFeatures + i]! += dy[r * outFeatures + o]! * w;
          }
        }
      }
      const weight = packHalf(bytesOf(words), [outFeatures, inFeatures], type);
      const tensor = (values: Float64Array, shape: number[]) => tf.tensor(Float32Array.from(values), shape);
      const inputs = tensor(x, [rows, inFeatures]) as tf.Tensor2D;
      const shift = tensor(bias, [outFeatures]) as tf.Tensor1D;
      const along = tensor(dy, [rows, outFeatures]);
      const y = halfLinear(inputs, weight, shift);
      await expectClose(y, expected, 1e-5, `product of ${type} on ${backend}`);
      const gradient = tf.tidy(() => tf.grad((input) => tf.sum(tf.mul(halfLinear(input as tf.Tensor2D, weight, shift), along)))(inputs));
      await expectClose(gradient, expectedGradient, 1e-5, `gradient of ${type} on ${backend}`);
      tf.dispose([y, gradient, inputs, shift, along, weight.words]);
    }
  });

  it('are kept by a model that is loaded so, with the same outputs in less memory', async () => {
    await selectBackend(backend);
    const dir = path.join(temporaryFolder(`half-${backend}`), 'model');
    await writeHalfModel(dir);
    const before = tf.memory().numTensors;
    const [full, half] = [await loadModel(dir), await loadModel(dir, { storage: 'half' })];
    const linears = decoderLinears(full.config);
    expect(new Set(linears.map((module) => half.linear(module).kind))).toEqual(new Set(['half']));
    expect(half.parameters.has(`${linears[0]}.weight`)).toBe(false);
    const ids = tf.tensor2d([[5, 9, 12, 40, 7, 3]], undefined, 'int32');
    const [expected, actual] = [full, half].map((model) => tf.tidy(() => model.logits(model.forward(ids))));
    await expectClose(actual!, await expected!.data(), 1e-5, `logits on ${backend}`);
    const [stored, unpacked] = [full, half].map((model) => model.linear(linears[3]!).weight());
    expect([...(await unpacked!.data())]).toEqual([...(await stored!.data())]);
    tf.dispose([ids, expected!, actual!, stored!, unpacked!]);
    full.dispose();
    half.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('16-bit weights', () => {
  it('name the first value that is no number', () => {
    expect(firstNonFiniteHalf(bytesOf(Uint16Array.of(0x3c00, 0xfc00, 0)), 'f16')).toEqual({ index: 1, value: Number.NEGATIVE_INFINITY });
    expect(firstNonFiniteHalf(bytesOf(Uint16Array.of(0x3f80, 0, 0x7fc0)), 'bf16')).toEqual({ index: 2, value: Number.NaN });
    expect(firstNonFiniteHalf(bytesOf(Uint16Array.of(0x7bff)), 'f16')).toBeNull();
  });
});

/** The tiny model with its weights stored as bf16. */
async function writeHalfModel(dir: string): Promise<void> {
  await writeTinyModel(dir);
  const model = await loadModel(dir);
  const tensors = await Promise.all(
    [...model.parameters].map(async ([name, tensor]) => ({
      name,
      dtype: 'BF16' as const,
      shape: tensor.shape,
      values: await tensor.data<'float32'>(),
    })),
  );
  await writeSafetensors(path.join(dir, 'model.safetensors'), tensors);
  model.dispose();
}
