/**
 * Round-to-nearest: every weight goes to the nearest level of its group's grid, W2–W8, per channel or per group.
 * Needs no calibration; it is the floor every other method is measured against.
 */
import { RoundoffError } from '#contract/errors.ts';
import type { QuantizationScheme } from '#contract/scheme.ts';
import type { PackedLinear } from '../formats/packed-linear.ts';
import { encodeWeight, type Grid, gridFor } from '../observers/grid.ts';
import { groupSizeOf, observeWeight, type QParams, type WeightShape } from '../observers/weight-observer.ts';

export interface RtnOptions {
  mseSearch?: boolean;
  grid?: Grid;
}

/** Quantizes `weight` [out, in]. Throws `bad-input` when the group size does not divide the inputs, `numeric` on non-finite weights. */
export function quantizeRtn(weight: Float32Array, shape: WeightShape, scheme: QuantizationScheme, options: RtnOptions = {}): PackedLinear {
  const groupSize = groupSizeOf(scheme, shape.inFeatures);
  requireDivides(groupSize, shape.inFeatures);
  const grid = options.grid ?? gridFor('rtn', scheme);
  const settings = { bits: scheme.bits, grid, mseSearch: options.mseSearch ?? false, scaleType: 'float16' as const };
  const qparams = observeWeight(weight, shape, groupSize, settings);
  return {
    bits: scheme.bits,
    symmetric: scheme.symmetric,
    ...shape,
    groupSize,
    codes: encodeOnGrid(weight, shape, groupSize, qparams, scheme.bits),
    ...qparams,
    groupIndex: null,
  };
}

/** Codes [out, in] of the levels nearest to `weight`. */
export function encodeOnGrid(
  weight: Float32Array | Float64Array,
  shape: WeightShape,
  groupSize: number,
  qparams: QParams,
  bits: number,
): Uint8Array {
  const codes = new Uint8Array(weight.length);
  const maxCode = 2 ** bits - 1;
  for (let row = 0, index = 0; row < shape.outFeatures; row++) {
    for (let start = 0; start < shape.inFeatures; start += groupSize, index++) {
      const scale = qparams.scales[index]!;
      const zero = qparams.zeros[index]!;
      const end = row * shape.inFeatures + Math.min(start + groupSize, shape.inFeatures);
      for (let i = row * shape.inFeatures + start; i < end; i++) codes[i] = encodeWeight(weight[i]!, scale, zero, maxCode);
    }
  }
  return codes;
}

function requireDivides(groupSize: number, inFeatures: number): void {
  if (inFeatures % groupSize === 0) return;
  throw new RoundoffError(
    'bad-input',
    `Group size ${groupSize} does not divide the ${inFeatures} inputs of this linear.`,
    'Choose a group size that divides the inputs, or one scale per channel.',
  );
}
