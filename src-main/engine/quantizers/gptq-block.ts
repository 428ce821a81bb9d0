/**
 * The two halves of GPTQ's walk, on weights stored input by input so that all outputs of an input lie side by side: inputs of a strip
 * are quantized one after the other, and their errors then reach later inputs as one float64 matrix product, W −= UᵀE.
 */
import { decodeCode, encodeWeight } from '../observers/grid.ts';
import { deepest, subtractProduct } from './double-gemm.ts';

/** Inputs first … last − 1, in walking order. */
export interface Span {
  first: number;
  last: number;
}

/** What one walk changes and reads; inputs are in walking order. */
export interface Weights {
  inFeatures: number;
  outFeatures: number;
  /** [in, out], compensated so far; an input keeps the value it was rounded from. */
  current: Float64Array;
  /** [in, out] */
  codes: Uint8Array;
  /** [in, in], see `GptqFactor`. */
  upper: Float64Array;
}

/** Where the errors of a block's inputs are kept: [inputs, out], the block's first input first. */
export interface BlockErrors {
  start: number;
  values: Float64Array;
}

/** Scale and zero point of output `row` at `offset + row · stride`. */
export interface InputGrid {
  scales: Float32Array;
  zeros: Uint8Array;
  offset: number;
  stride: number;
  maxCode: number;
}

/** Quantizes one input for all outputs, leaves its scaled errors in `errors` and returns the sum of their squares. */
export function quantizeInput(weights: Weights, errors: BlockErrors, input: number, grid: InputGrid): number {
  const { inFeatures, outFeatures, current, codes, upper } = weights;
  const { scales, zeros, offset, stride, maxCode } = grid;
  const { values } = errors;
  const base = input * outFeatures;
  const target = (input - errors.start) * outFeatures;
  const pivot = upper[input * inFeatures + input]!;
  let squares = 0;
  for (let row = 0; row < outFeatures; row++) {
    const scale = scales[offset + row * stride]!;
    const zero = zeros[offset + row * stride]!;
    const latent = Math.fround(current[base + row]!);
    const code = encodeWeight(latent, scale, zero, maxCode);
    const error = (latent - decodeCode(code, scale, zero)) / pivot;
    codes[base + row] = code;
    values[target + row] = error;
    squares += error * error;
  }
  return squares;
}

/** Compensates the error of `input` on the inputs up to `last`. */
export function compensateInput(weights: Weights, errors: BlockErrors, input: number, last: number): void {
  const { inFeatures, outFeatures, current, upper } = weights;
  const { values } = errors;
  const source = (input - errors.start) * outFeatures;
  for (let later = input + 1; later < last; later++) {
    const factor = upper[input * inFeatures + later]!;
    const base = later * outFeatures;
    for (let row = 0; row < outFeatures; row++) current[base + row]! -= factor * values[source + row]!;
  }
}

/** Compensates the errors of the inputs `from` on the inputs from.last … last − 1. */
export function compensateSpan(weights: Weights, errors: BlockErrors, from: Span, last: number): void {
  const { inFeatures, outFeatures, current, upper } = weights;
  const later = last - from.last;
  if (later === 0) return;
  const factors = new Float64Array(Math.min(deepest, from.last - from.first) * later);
  for (let first = from.first; first < from.last; first += deepest) {
    const depth = Math.min(deepest, from.last - first);
    for (let i = 0; i < depth; i++) {
      const row = (first + i) * inFeatures;
      factors.set(upper.subarray(row + from.last, row + last), i * later);
    }
    const b = errors.values.subarray((first - errors.start) * outFeatures);
    const product = { a: factors, b, rows: later, columns: outFeatures, depth, transA: true };
    subtractProduct(current.subarray(from.last * outFeatures), product);
  }
}
