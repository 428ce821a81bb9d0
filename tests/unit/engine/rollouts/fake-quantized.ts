/** Token quantizers in plain arithmetic. */
import type { TokenQuantizer } from '../../../../src-main/engine/model/layer-activations.ts';

/** A row as ops/quantize-tokens defines it, every operation rounded to float32. */
export function fakeQuantized(row: Float32Array, { bits, symmetric, clipHigh, clipLow }: TokenQuantizer): number[] {
  const f = Math.fround;
  const high = f(Math.max(0, ...row) * f(clipHigh));
  const low = f(Math.min(0, ...row) * f(clipLow));
  const width = symmetric ? f(Math.max(high, -low) / (2 ** (bits - 1) - 1)) : f(f(high - low) / (2 ** bits - 1));
  const scale = width > 0 ? width : 1;
  const lowest = symmetric ? -(2 ** (bits - 1)) : 0;
  const zero = symmetric ? 0 : roundEven(f(-low / scale));
  return Array.from(row, (v) => f((Math.min(Math.max(roundEven(f(v / scale)) + zero, lowest), lowest + 2 ** bits - 1) - zero) * scale) + 0);
}

function roundEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
