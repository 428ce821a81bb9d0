/** Which elements dropout keeps; see backends/wasm/kernels/dropout.ts. */

export interface DropoutPattern {
  seed: number;
  /** An element is dropped when its hash is smaller; rate · 2³². */
  threshold: number;
  /** What kept elements are multiplied by. */
  factor: number;
}

/** `factor` at elements that are kept, 0 elsewhere. */
export function dropoutMask(count: number, { seed, threshold, factor }: DropoutPattern): Float32Array {
  return Float32Array.from({ length: count }, (_, place) => (hashOf(place, seed) >= threshold ? factor : 0));
}

function hashOf(place: number, seed: number): number {
  let x = (Math.imul(place, 0x9e3779b9) + seed) | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
