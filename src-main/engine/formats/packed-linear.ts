/**
 * The stored form of a quantized linear: one unsigned code per weight, a scale and a zero point per group of inputs.
 * Quantizers produce it, checkpoints store it, linear ops compute with it. A weight is `scale · (code − zero)`; with a binary16
 * scale and at most 8 bits that product is exact in float32, so every backend dequantizes to the same numbers.
 */
import { RoundoffError } from '#contract/errors.ts';
import type { QuantizationScheme } from '#contract/scheme.ts';
import { roundToHalf } from './float16.ts';

export interface PackedLinear {
  coding?: 'integer';
  bits: QuantizationScheme['bits'];
  /** Symmetric grids have the fixed zero point 2^(bits−1), which is not stored. */
  symmetric: boolean;
  outFeatures: number;
  inFeatures: number;
  /** Consecutive inputs per group; equal to `inFeatures` for one scale per row. The last group may be shorter. */
  groupSize: number;
  /** [out, in], 0 … 2^bits − 1. */
  codes: Uint8Array;
  /** [out, groups], each exactly a binary16 number (see `roundScales`) unless `scaleType` says otherwise. */
  scales: Float32Array;
  /** How scales are stored; binary16 when left out. LLM.int8() keeps full ones. */
  scaleType?: 'float32';
  /** [out, groups], 0 … 2^bits − 1. */
  zeros: Uint8Array;
  /** [in], group of each input when groups are not consecutive (GPTQ act-order without static groups); null otherwise. */
  groupIndex: Int32Array | null;
}

/** Groups per row. */
export function groupCount(inFeatures: number, groupSize: number): number {
  return Math.ceil(inFeatures / groupSize);
}

/**
 * Rounds scales in place to binary16, as they are stored. Quantizers call it before they choose codes, so that the codes are the
 * best for the scales that will be used. A positive scale below the smallest half becomes that half, never 0.
 */
export function roundScales(scales: Float32Array): Float32Array {
  for (let i = 0; i < scales.length; i++) {
    const scale = scales[i]!;
    const rounded = roundToHalf(scale);
    if (!Number.isFinite(rounded)) {
      throw new RoundoffError(
        'numeric',
        `A quantization scale of ${scale} is outside the 16-bit range (up to 65504).`,
        'The layer holds extreme or non-finite weights; inspect the model.',
      );
    }
    scales[i] = rounded === 0 && scale > 0 ? 2 ** -24 : rounded;
  }
  return scales;
}

/** The weights [out, in] the packed form stands for. */
export function dequantizeLinear(packed: PackedLinear): Float32Array {
  const { outFeatures, inFeatures, groupSize, codes, scales, zeros, groupIndex } = packed;
  const groups = groupCount(inFeatures, groupSize);
  const weights = new Float32Array(outFeatures * inFeatures);
  for (let row = 0; row < outFeatures; row++) {
    const base = row * inFeatures;
    if (groupIndex) {
      for (let input = 0; input < inFeatures; input++) {
        const group = row * groups + groupIndex[input]!;
        weights[base + input] = scales[group]! * (codes[base + input]! - zeros[group]!);
      }
      continue;
    }
    for (let group = 0; group < groups; group++) {
      const scale = scales[row * groups + group]!;
      const zero = zeros[row * groups + group]!;
      const end = Math.min(inFeatures, (group + 1) * groupSize);
      for (let input = group * groupSize; input < end; input++) weights[base + input] = scale * (codes[base + input]! - zero);
    }
  }
  return weights;
}

/** What decides how many bytes a quantized linear takes. */
export type PackedLayout = Pick<PackedLinear, 'bits' | 'symmetric' | 'outFeatures' | 'inFeatures' | 'groupSize' | 'scaleType'>;

/** Bytes of the stored tensors: packed codes, scales, packed zero points (asymmetric) and the group index, if any. */
export function packedLinearBytes(packed: PackedLayout & { groupIndex?: Int32Array | null }): number {
  const groups = packed.outFeatures * groupCount(packed.inFeatures, packed.groupSize);
  const codeBytes = 4 * packed.outFeatures * packedWords(packed.inFeatures, packed.bits);
  const zeroBytes = packed.symmetric ? 0 : 4 * packedWords(groups, packed.bits);
  return codeBytes + (packed.scaleType === 'float32' ? 4 : 2) * groups + zeroBytes + (packed.groupIndex ? 4 * packed.inFeatures : 0);
}

/** 32-bit words that hold `count` codes of `bits` bits. */
export function packedWords(count: number, bits: number): number {
  return Math.ceil((count * bits) / 32);
}

/**
 * Packs [rows, columns] codes into [rows, packedWords(columns)] little-endian 32-bit words: each row is one bit stream, least
 * significant bit first, so 32 codes take exactly `bits` words (3-bit codes: 96 bits) and may straddle two words.
 */
export function packCodes(codes: Uint8Array, rows: number, columns: number, bits: number): Int32Array {
  const words = packedWords(columns, bits);
  const packed = new Int32Array(rows * words);
  for (let row = 0; row < rows; row++) {
    for (let column = 0, bit = 0; column < columns; column++, bit += bits) {
      const word = row * words + (bit >>> 5);
      const shift = bit & 31;
      const code = codes[row * columns + column]!;
      packed[word]! |= code << shift;
      if (shift + bits > 32) packed[word + 1]! |= code >>> (32 - shift);
    }
  }
  return packed;
}

/** The inverse of `packCodes`. */
export function unpackCodes(packed: Int32Array, rows: number, columns: number, bits: number): Uint8Array {
  const words = packedWords(columns, bits);
  const mask = (1 << bits) - 1;
  const codes = new Uint8Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0, bit = 0; column < columns; column++, bit += bits) {
      const word = row * words + (bit >>> 5);
      const shift = bit & 31;
      let code = packed[word]! >>> shift;
      if (shift + bits > 32) code |= packed[word + 1]! << (32 - shift);
      codes[row * columns + column] = code & mask;
    }
  }
  return codes;
}
