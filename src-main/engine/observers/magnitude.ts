/** The largest magnitude of weights, which scales symmetric codes. */
import { RoundoffError } from '#contract/errors.ts';

/** Of `values[start … end)`; 0 for none. Throws `numeric` when one of them is not finite. */
export function largestMagnitude(values: Float32Array, start: number, end: number): number {
  let largest = 0;
  let finite = 0;
  for (let i = start; i < end; i++) {
    largest = Math.max(largest, Math.abs(values[i]!));
    finite += values[i]! * 0;
  }
  if (finite !== 0) throw weightNotFinite();
  return largest;
}

export function weightNotFinite(): RoundoffError {
  return new RoundoffError(
    'numeric',
    'A weight to quantize is NaN or infinite.',
    'The checkpoint is damaged or was trained to divergence; run "model inspect" on it.',
  );
}
