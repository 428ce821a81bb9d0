/**
 * bitsandbytes' NF4 quantization of one linear (QLoRA, Dettmers et al. 2023): blocks of 64 weights in row-major order over their largest
 * magnitude, each to the nearest of 16 levels; with double quantization the block scales go to 8 bits around their mean.
 */
import { type NestedAbsmax, type Nf4Linear, nestedBlockSize, nf4BlockCount, nf4BlockSize, nf4Levels, nf4ZeroCode } from '../formats/nf4.ts';
import { dynamicTable, midpointsOf, nearestIndex, restoreAbsmax } from '../formats/nf4-dynamic.ts';
import { largestMagnitude } from '../observers/magnitude.ts';
import type { WeightShape } from '../observers/weight-observer.ts';

const levelMidpoints = midpointsOf(nf4Levels);
const tableMidpoints = midpointsOf(dynamicTable);

/** Quantizes `weight` [out, in]. Throws `numeric` on non-finite weights. */
export function quantizeNf4(weight: Float32Array, shape: WeightShape, options: { doubleQuantization?: boolean } = {}): Nf4Linear {
  const { outFeatures, inFeatures } = shape;
  const absmax = new Float32Array(nf4BlockCount(outFeatures, inFeatures));
  const codes = encodeBlocks(weight, absmax, nf4BlockSize, levelMidpoints, nf4ZeroCode);
  if (!options.doubleQuantization) return { coding: 'nf4', bits: 4, ...shape, codes, absmax, nested: null };
  const nested = nestAbsmax(absmax);
  const restored = restoreAbsmax(nested.codes, nested.absmax, nested.offset, nestedBlockSize);
  return { coding: 'nf4', bits: 4, ...shape, codes, absmax: restored, nested };
}

/**
 * Quantizes block scales to 8 bits of the dynamic table around `offset`. Their mean is taken in float64 and rounded: bitsandbytes sums
 * in float32 in an order that depends on the machine, so its last bit may differ.
 */
export function nestAbsmax(absmax: Float32Array, offset: number = meanOf(absmax)): NestedAbsmax {
  const shifted = absmax.map((value) => value - offset);
  const largest = new Float32Array(Math.ceil(absmax.length / nestedBlockSize));
  const codes = encodeBlocks(shifted, largest, nestedBlockSize, tableMidpoints, dynamicTable.indexOf(0));
  return { codes, absmax: largest, offset };
}

/** Codes of values over their block's largest magnitude, which is left in `absmax`. */
function encodeBlocks(
  values: Float32Array,
  absmax: Float32Array,
  blockSize: number,
  midpoints: Float32Array,
  zeroCode: number,
): Uint8Array {
  const codes = new Uint8Array(values.length);
  for (let block = 0; block < absmax.length; block++) {
    const start = block * blockSize;
    const end = Math.min(values.length, start + blockSize);
    const largest = largestMagnitude(values, start, end);
    absmax[block] = largest;
    if (largest === 0) {
      codes.fill(zeroCode, start, end);
      continue;
    }
    // As in bitsandbytes: multiplied by the reciprocal, which stays finite for subnormal blocks.
    const inverse = Math.fround(1 / Math.max(largest, smallestDivisor));
    for (let i = start; i < end; i++) codes[i] = nearestIndex(midpoints, Math.fround(values[i]! * inverse));
  }
  return codes;
}

const smallestDivisor = 1e-38;

function meanOf(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return Math.fround(sum / values.length);
}
