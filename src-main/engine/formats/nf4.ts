/**
 * The stored form of an NF4 linear (bitsandbytes; Dettmers et al. 2023): weights in row-major order in blocks of 64, which may cross rows,
 * each weight one of 16 levels times the block's largest magnitude.
 */

/** Levels of codes 0 … 15 (bitsandbytes). */
export const nf4Levels = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
);
/** The code that stands for 0. */
export const nf4ZeroCode = 7;
export const nf4BlockSize = 64;
/** First-level blocks per second-level block. */
export const nestedBlockSize = 256;

/** The second level of double quantization: absmax = table[code] · nestedAbsmax[block] + offset. */
export interface NestedAbsmax {
  /** [blocks] indices into bitsandbytes' 256-entry dynamic table. */
  codes: Uint8Array;
  /** [⌈blocks / 256⌉] */
  absmax: Float32Array;
  offset: number;
}

export interface Nf4Linear {
  coding: 'nf4';
  bits: 4;
  outFeatures: number;
  inFeatures: number;
  /** [out, in], 0 … 15. */
  codes: Uint8Array;
  /** [blocks], as computed with: restored from the second level where there is one. */
  absmax: Float32Array;
  nested: NestedAbsmax | null;
}

export function nf4BlockCount(outFeatures: number, inFeatures: number): number {
  return Math.ceil((outFeatures * inFeatures) / nf4BlockSize);
}

/** The weights [out, in] the stored form stands for. */
export function dequantizeNf4({ codes, absmax }: Nf4Linear): Float32Array {
  const weights = new Float32Array(codes.length);
  for (let i = 0; i < codes.length; i++) weights[i] = nf4Levels[codes[i]!]! * absmax[Math.floor(i / nf4BlockSize)]!;
  return weights;
}

/** Bytes of the stored tensors. */
export function nf4Bytes({ outFeatures, inFeatures, isNested }: { outFeatures: number; inFeatures: number; isNested: boolean }): number {
  const blocks = nf4BlockCount(outFeatures, inFeatures);
  const scales = isNested ? 4 * Math.ceil(blocks / 4) + 4 * Math.ceil(blocks / nestedBlockSize) + 4 : 4 * blocks;
  return 4 * Math.ceil((outFeatures * inFeatures) / 8) + scales;
}
