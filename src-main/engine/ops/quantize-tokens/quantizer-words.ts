/** A token quantizer as the kernels read it: see backends/wasm/kernels/quantize-tokens.ts. */
import type { TokenQuantizer } from './index.ts';

export const quantizerWords = 8;

export function quantizerFloats({ bits, symmetric, clipHigh, clipLow, outlierThreshold }: TokenQuantizer): Float32Array {
  const half = 2 ** (bits - 1);
  const steps = 2 ** bits - 1;
  const lowest = symmetric ? -half : 0;
  const divisor = symmetric ? half - 1 : steps;
  return Float32Array.of(divisor, lowest, lowest + steps, clipHigh, clipLow, outlierThreshold ?? Infinity, Number(symmetric), 0);
}
