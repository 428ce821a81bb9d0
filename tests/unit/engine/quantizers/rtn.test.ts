import { describe, expect, it } from 'vitest';
import { roundToHalf } from '../../../../src-main/engine/formats/float16.ts';
import { dequantizeLinear, packedLinearBytes } from '../../../../src-main/engine/formats/packed-linear.ts';
import { quantizeRtn } from '../../../../src-main/engine/quantizers/rtn.ts';
import { weightBits } from '../../../../src-preload/contract/scheme.ts';
import { normals } from './matrices.ts';

const shape = { outFeatures: 6, inFeatures: 24 };
const weight = Float32Array.from(normals(6 * 24, 3));

describe('quantizeRtn', () => {
  const cases = weightBits.flatMap((bits) =>
    [true, false].flatMap((symmetric) => [null, 8].map((groupSize) => ({ bits, symmetric, groupSize }))),
  );

  it.each(cases)(
    'W$bits symmetric=$symmetric group=$groupSize: every weight lands within half a step, or at the end of the grid',
    (part) => {
      const packed = quantizeRtn(weight, shape, { ...part, strategy: part.groupSize === null ? 'channel' : 'group' });
      const groups = 24 / (part.groupSize ?? 24);
      expect(packed.scales).toHaveLength(6 * groups);
      expect(packed.groupIndex).toBeNull();
      const back = dequantizeLinear(packed);
      for (let i = 0; i < weight.length; i++) {
        const group = Math.floor(i / packed.groupSize);
        const scale = packed.scales[group]!;
        const code = packed.codes[i]!;
        const atEnd = code === 0 || code === 2 ** part.bits - 1;
        expect(Math.abs(weight[i]! - back[i]!)).toBeLessThanOrEqual(scale * (atEnd ? 1.01 : 0.5001));
        expect(code).toBeLessThan(2 ** part.bits);
      }
    },
  );

  it('rounds scales to 16 bits before choosing codes, so the stored form is what was chosen', () => {
    const packed = quantizeRtn(weight, shape, { bits: 8, symmetric: false, strategy: 'channel', groupSize: null });
    for (const scale of packed.scales) expect(scale).toBe(roundToHalf(scale));
    for (let i = 0; i < weight.length; i++) {
      const row = Math.floor(i / 24);
      const [scale, zero] = [packed.scales[row]!, packed.zeros[row]!];
      const best = Math.min(255, Math.max(0, Math.round(weight[i]! / scale) + zero));
      expect(packed.codes[i]).toBe(best);
    }
  });

  it('gives fewer errors with smaller groups and with more bits', () => {
    const error = (bits: 2 | 3 | 4, groupSize: number) => {
      const back = dequantizeLinear(quantizeRtn(weight, shape, { bits, symmetric: false, strategy: 'group', groupSize }));
      return back.reduce((sum, value, index) => sum + (value - weight[index]!) ** 2, 0);
    };
    expect(error(3, 8)).toBeLessThan(error(3, 24));
    expect(error(4, 8)).toBeLessThan(error(3, 8));
    expect(error(3, 8)).toBeLessThan(error(2, 8));
  });

  it('refuses a group size that does not divide the inputs, with the remedy', () => {
    expect(() => quantizeRtn(weight, shape, { bits: 4, symmetric: true, strategy: 'group', groupSize: 16 })).toThrowError(
      expect.objectContaining({ code: 'bad-input', message: expect.stringContaining('16'), hint: expect.stringContaining('divides') }),
    );
  });

  it('refuses NaN', () => {
    const bad = weight.slice();
    bad[77] = Number.NaN;
    expect(() => quantizeRtn(bad, shape, { bits: 4, symmetric: true, strategy: 'channel', groupSize: null })).toThrowError(
      expect.objectContaining({ code: 'numeric' }),
    );
  });

  it('stores about bits per weight plus a scale per group', () => {
    const packed = quantizeRtn(weight, shape, { bits: 4, symmetric: true, strategy: 'group', groupSize: 8 });
    expect(packedLinearBytes(packed)).toBe((6 * 24) / 2 + 6 * 3 * 2);
  });
});
