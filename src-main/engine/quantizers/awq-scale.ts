/**
 * AWQ's scale search (Lin et al. 2023; llm-awq, and AutoAWQ for "duo" scaling): 20 candidates of per-channel factors t, each judged by the
 * error that rounding W·diag(t) leaves in the output of a block.
 */
import { RoundoffError } from '#contract/errors.ts';
import type { AwqOptions } from '#contract/recipe.ts';
import type { QuantizationScheme } from '#contract/scheme.ts';
import { decodeCode, encodeWeight, gridFor } from '../observers/grid.ts';
import { GroupObserver } from '../observers/group-observer.ts';
import { groupSizeOf, type WeightShape } from '../observers/weight-observer.ts';

/** A linear that reads the scaled channels. */
export interface ScaledLinear {
  module: string;
  /** [out, in] */
  weight: Float32Array;
  shape: WeightShape;
  scheme: QuantizationScheme;
}

export interface ScaleChoice {
  /** [in] */
  t: Float32Array;
  /** Exponent of the candidate, 0 … 0.95. */
  ratio: number;
  /** Mean squared error of the block's output with `t`. */
  error: number;
}

/** Exponents k / 20. */
export const ratioSteps = 20;
const smallestScale = 1e-4;

/**
 * Candidate t [in] for exponent r: a^r, or with duo scaling a^r / (m^(1−r) + 1e-4), at least 1e-4, then divided by √(max·min).
 * @param meanMagnitude a [in], mean |x| of each channel
 * @param weightMagnitude m [in], see `relativeMagnitude`; null scales by activations alone
 */
export function scaleCandidate(meanMagnitude: Float32Array, weightMagnitude: Float32Array | null, ratio: number): Float32Array {
  const raw = Float64Array.from(meanMagnitude, (mean, channel) => {
    const weight = weightMagnitude ? weightMagnitude[channel]! ** (1 - ratio) + 1e-4 : 1;
    return Math.max(mean ** ratio / weight, smallestScale);
  });
  let [low, high] = [raw[0]!, raw[0]!];
  for (const value of raw) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return Float32Array.from(raw, (value) => value / Math.sqrt(high * low));
}

/** m [in]: mean over all rows of |w| divided by its group's largest magnitude (AutoAWQ). */
export function relativeMagnitude(linears: readonly Pick<ScaledLinear, 'weight' | 'shape' | 'scheme'>[]): Float32Array {
  const { inFeatures } = linears[0]!.shape;
  const sums = new Float64Array(inFeatures);
  let rows = 0;
  for (const { weight, shape, scheme } of linears) {
    const groupSize = groupSizeOf(scheme, inFeatures);
    rows += shape.outFeatures;
    for (let start = 0; start < weight.length; start += groupSize) {
      let largest = 0;
      for (let i = start; i < start + groupSize; i++) largest = Math.max(largest, Math.abs(weight[i]!));
      for (let i = start; i < start + groupSize; i++) sums[i % inFeatures]! += Math.abs(weight[i]!) / (largest + 1e-6);
    }
  }
  return Float32Array.from(sums, (sum) => sum / rows);
}

/** Q(W·diag(t))·diag(t)⁻¹ [out, in] on AWQ's grid. */
export function roundScaled({ weight, shape, scheme }: Omit<ScaledLinear, 'module'>, t: Float32Array): Float32Array {
  const { inFeatures } = shape;
  const groupSize = groupSizeOf(scheme, inFeatures);
  const observer = new GroupObserver({ bits: scheme.bits, grid: gridFor('awq', scheme), mseSearch: false, scaleType: 'float16' });
  const result = new Float32Array(weight.length);
  for (let start = 0; start < weight.length; start += inFeatures) {
    for (let i = 0; i < inFeatures; i++) result[start + i] = weight[start + i]! * t[i]!;
  }
  for (let start = 0; start < weight.length; start += groupSize) {
    observer.observe(result, start, groupSize);
    const { scale, zero, maxCode } = observer;
    const channel = start % inFeatures;
    for (let i = 0; i < groupSize; i++) {
      result[start + i] = decodeCode(encodeWeight(result[start + i]!, scale, zero, maxCode), scale, zero) / t[channel + i]!;
    }
  }
  return result;
}

/**
 * The best of the candidates; the first one wins a tie. With activation scaling r = 0 is t = 1, plain rounding to nearest.
 * Throws `numeric` when no candidate leaves a finite error.
 * @param errorOf mean squared error of the block's output when the linears compute with these weights
 */
export async function searchScale(
  linears: readonly ScaledLinear[],
  meanMagnitude: Float32Array,
  scaling: AwqOptions['scaling'],
  errorOf: (weights: ReadonlyMap<string, Float32Array>) => Promise<number>,
): Promise<ScaleChoice> {
  const weightMagnitude = scaling === 'duo' ? relativeMagnitude(linears) : null;
  let best: ScaleChoice | null = null;
  for (let step = 0; step < ratioSteps; step++) {
    const ratio = step / ratioSteps;
    const t = scaleCandidate(meanMagnitude, weightMagnitude, ratio);
    const error = await errorOf(new Map(linears.map((linear) => [linear.module, roundScaled(linear, t)])));
    if (error < (best?.error ?? Number.POSITIVE_INFINITY)) best = { t, ratio, error };
  }
  if (best) return best;
  throw new RoundoffError(
    'numeric',
    'No scaling leaves a finite output error.',
    'The layer overflows on the calibration text; check the model with "model inspect" and evaluate it unquantized first.',
  );
}
