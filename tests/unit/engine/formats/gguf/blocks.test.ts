import { describe, expect, it } from 'vitest';
import { decodeGguf, encodeGguf } from '../../../../../src-main/engine/formats/gguf/blocks.ts';
import { normals } from '../../ops/op-check.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const block = (...values: number[]) => Float32Array.from({ length: 32 }, (_, index) => values[index] ?? 0);

describe('Q4_0', () => {
  it('gives the worked example: −4, 3.9, 1.2 and, at 16, 0.6 get the codes 0, 15, 10 and 9 at a scale of 0.5', () => {
    const values = block(-4, 3.9, 1.2);
    values[16] = 0.6;
    // Byte j holds values j and j + 16; zeros have the code 8.
    expect(hex(encodeGguf('Q4_0', values))).toBe(`0038908f8a${'88'.repeat(13)}`);
  });

  it('meets the value of largest magnitude, and lacks one step on the other side', () => {
    const values = block(8, -8, 6.4);
    const decoded = decodeGguf('Q4_0', encodeGguf('Q4_0', values));
    expect([...decoded.subarray(0, 3)]).toEqual([8, -7, 6]);
  });
});

describe('Q8_0', () => {
  it('rounds half away from zero', () => {
    const values = block(127, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 0.49);
    const bytes = encodeGguf('Q8_0', values);
    expect([...new Int8Array(bytes.buffer, 2, 8)]).toEqual([127, 1, -1, 2, -2, 3, -3, 0]);
    expect(hex(bytes.subarray(0, 2))).toBe('003c');
  });
});

describe.each(['Q8_0', 'Q4_0', 'F16', 'F32'] as const)('%s', (type) => {
  it('stays within half a step of the values, and encodes decoded values to themselves', () => {
    const values = Float32Array.from(normals(32 * 40, 5));
    const decoded = decodeGguf(type, encodeGguf(type, values));
    // Half a step of the grid, in units of the block's largest magnitude; the far end of Q4_0's range lacks half a step more. A little for the binary16 scale.
    const share = { Q8_0: 0.5 / 127, Q4_0: 1 / 8, F16: 2 ** -11, F32: 0 }[type] + (type === 'Q8_0' ? 2 ** -11 : 0);
    for (let start = 0; start < values.length; start += 32) {
      const largest = Math.max(...values.subarray(start, start + 32).map(Math.abs));
      for (let i = start; i < start + 32; i++) expect(Math.abs(decoded[i]! - values[i]!)).toBeLessThanOrEqual(share * largest * 1.0001);
    }
    if (type !== 'Q4_0') expect(decodeGguf(type, encodeGguf(type, decoded))).toEqual(decoded);
  });

  it('keeps zeros', () => {
    expect(decodeGguf(type, encodeGguf(type, new Float32Array(64))).every((value) => value === 0)).toBe(true);
  });

  it('refuses values beyond 16 bits unless it has 32', () => {
    const huge = block(1e9);
    if (type === 'F32') expect(decodeGguf(type, encodeGguf(type, huge))).toEqual(huge);
    else expect(() => encodeGguf(type, huge)).toThrow(/16-bit/);
  });
});
