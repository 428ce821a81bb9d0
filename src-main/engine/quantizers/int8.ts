/**
 * LLM.int8() of one linear (Dettmers et al. 2022; bitsandbytes): each row over its largest magnitude SCB to signed 8-bit codes,
 * CB = round(127·W / SCB). Inputs are quantized as they come: see `quantizeTokens` with an outlier threshold.
 */
import type { PackedLinear } from '../formats/packed-linear.ts';
import { roundHalfEven } from '../observers/grid.ts';
import { largestMagnitude } from '../observers/magnitude.ts';
import type { WeightShape } from '../observers/weight-observer.ts';

/** The stored code of CB = 0. */
export const int8Zero = 128;
const largestFloat = (2 - 2 ** -23) * 2 ** 127;

/** Quantizes `weight` [out, in]: code = CB + 128, scale = SCB / 127 in float32. A row of zeros has scale 0. Throws `numeric` on non-finite weights. */
export function quantizeInt8(weight: Float32Array, shape: WeightShape): PackedLinear {
  const { outFeatures, inFeatures } = shape;
  const codes = new Uint8Array(weight.length).fill(int8Zero);
  const scales = new Float32Array(outFeatures);
  for (let row = 0; row < outFeatures; row++) {
    const start = row * inFeatures;
    const largest = largestMagnitude(weight, start, start + inFeatures);
    if (largest === 0) continue;
    scales[row] = largest / 127;
    // In bitsandbytes' order: the float32 factor first, then the product. It stays finite for subnormal rows.
    const factor = Math.fround(Math.min(127 / largest, largestFloat));
    for (let i = start; i < start + inFeatures; i++) codes[i] = int8Zero + roundHalfEven(Math.fround(weight[i]! * factor));
  }
  const zeros = new Uint8Array(outFeatures).fill(int8Zero);
  return { bits: 8, symmetric: true, ...shape, groupSize: inFeatures, codes, scales, scaleType: 'float32', zeros, groupIndex: null };
}
