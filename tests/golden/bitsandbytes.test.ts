/** NF4 and LLM.int8() against bitsandbytes itself; see make-bitsandbytes-fixtures.py. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../src-main/engine/backends/select.ts';
import { dequantizeNf4, nestedBlockSize, nf4Levels } from '../../src-main/engine/formats/nf4.ts';
import { dynamicTable, restoreAbsmax } from '../../src-main/engine/formats/nf4-dynamic.ts';
import { dequantizeLinear } from '../../src-main/engine/formats/packed-linear.ts';
import { packNibbles, unpackNibbles } from '../../src-main/engine/formats/packing.ts';
import { linear } from '../../src-main/engine/ops/index.ts';
import { quantizeTokens } from '../../src-main/engine/ops/quantize-tokens/index.ts';
import { int8Zero, quantizeInt8 } from '../../src-main/engine/quantizers/int8.ts';
import { nestAbsmax, quantizeNf4 } from '../../src-main/engine/quantizers/nf4.ts';
import { testBackends } from '../unit/engine/ops/op-check.ts';
import { fixturePath } from './fixtures.ts';

interface Nf4Case {
  shape: [number, number];
  double: boolean;
  bytes: string;
  dequantizedSha256: string;
  absmax: string;
  absmaxCodes: string;
  nestedAbsmax: string;
  nestedOffset: number;
}

const fixture = JSON.parse(readFileSync(fixturePath('bitsandbytes.json'), 'utf8'));
const bytes = (text: string) => Uint8Array.from(Buffer.from(text, 'base64'));
const floats = (text: string) => new Float32Array(bytes(text).buffer);
const sha256 = (values: Float32Array) => createHash('sha256').update(Buffer.from(values.buffer)).digest('hex');

/** As in the fixture's script. */
function values(count: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, index) => {
    let total = 0;
    for (let part = 0; part < 4; part++) {
      const hashed = (Math.imul(index, 2654435761) + seed * 97 + part * 1013904223) >>> 0;
      total += (Math.imul(hashed, 1597334677) >>> 8) / 2 ** 24 - 0.5;
    }
    return (total * (1 + (Math.floor(index / 64) % 17))) / 16;
  });
}

describe('NF4', () => {
  it('has the same tables', () => {
    expect(dynamicTable).toEqual(floats(fixture.dynamicMap));
    expect(nf4Levels).toEqual(floats(fixture.nf4Map));
  });

  it.each((fixture.nf4 as Nf4Case[]).filter((part) => !part.double))('of $shape gives the same bytes, scales and values', (part) => {
    const [outFeatures, inFeatures] = part.shape;
    const result = quantizeNf4(values(outFeatures * inFeatures, inFeatures), { outFeatures, inFeatures });
    expect(packNibbles(result.codes)).toEqual(bytes(part.bytes));
    expect(unpackNibbles(bytes(part.bytes), result.codes.length)).toEqual(result.codes);
    expect(result.absmax).toEqual(floats(part.absmax));
    expect(result.nested).toBeNull();
    expect(sha256(dequantizeNf4(result))).toBe(part.dequantizedSha256);
  });

  it.each((fixture.nf4 as Nf4Case[]).filter((part) => part.double))('of $shape doubly quantized does, given the same mean', (part) => {
    const [outFeatures, inFeatures] = part.shape;
    const shape = { outFeatures, inFeatures };
    const weight = values(outFeatures * inFeatures, inFeatures);
    const single = quantizeNf4(weight, shape);
    const nested = nestAbsmax(single.absmax, part.nestedOffset);
    const absmax = restoreAbsmax(nested.codes, nested.absmax, nested.offset, nestedBlockSize);
    expect(packNibbles(single.codes)).toEqual(bytes(part.bytes));
    expect(nested.codes).toEqual(bytes(part.absmaxCodes));
    expect(nested.absmax).toEqual(floats(part.nestedAbsmax));
    expect(absmax).toEqual(floats(part.absmax));
    expect(sha256(dequantizeNf4({ ...single, absmax, nested }))).toBe(part.dequantizedSha256);

    const own = quantizeNf4(weight, shape, { doubleQuantization: true });
    expect(own.codes).toEqual(single.codes);
    expect(own.nested!.codes).toEqual(nested.codes);
    expect(Math.abs(own.nested!.offset / part.nestedOffset - 1)).toBeLessThan(2 ** -22);
    for (const [i, value] of own.absmax.entries()) expect(Math.abs(value / absmax[i]! - 1)).toBeLessThan(1e-6);
  });
});

describe('LLM.int8()', () => {
  const { outFeatures, inFeatures, threshold } = fixture.int8 as { outFeatures: number; inFeatures: number; threshold: number };
  const packed = quantizeInt8(floats(fixture.int8.weight), { outFeatures, inFeatures });

  it('has the same codes and row scales', () => {
    expect(Int8Array.from(packed.codes, (code) => code - int8Zero)).toEqual(new Int8Array(bytes(fixture.int8.codes).buffer));
    expect(packed.scales).toEqual(floats(fixture.int8.absmax).map((absmax) => absmax / 127));
  });

  // bitsandbytes writes 1/127² with seven digits, an error of 2e-6.
  it.each(testBackends)('computes the same outputs within 1e-5 on %s, outliers included', async (backend) => {
    await selectBackend(backend);
    const inputs = floats(fixture.int8.inputs);
    const expected = floats(fixture.int8.outputs);
    const outputs = tf.tidy(() => {
      const quantizer = { bits: 8, symmetric: true, clipHigh: 1, clipLow: 1, outlierThreshold: threshold };
      const x = quantizeTokens(tf.tensor2d(inputs, [inputs.length / inFeatures, inFeatures]), quantizer);
      return linear(x, tf.tensor2d(dequantizeLinear(packed), [outFeatures, inFeatures]));
    });
    const actual = await outputs.data<'float32'>();
    outputs.dispose();
    const largest = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    for (const [i, value] of expected.entries()) expect(Math.abs(actual[i]! - value)).toBeLessThan(1e-5 * largest);
  });
});
