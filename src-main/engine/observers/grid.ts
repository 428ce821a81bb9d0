/**
 * The four integer grids of weight quantization, in one form: unsigned code, scale, zero point, weight = scale · (code − zero).
 * Rounding is half to even and happens on the float32 quotient, as in PyTorch and in TF.js, so codes agree with both.
 */
import type { QuantizationMethod } from '#contract/recipe.ts';
import type { QuantizationScheme } from '#contract/scheme.ts';

/**
 * `signed`: s = max|w| / (2^(b−1) − 1), codes around 2^(b−1); ±max is exact (FlatQuant, QuaRot, Reasoning-QAT).
 * `mirrored`: s = 2·max|w| / (2^b − 1), zero point 2^(b−1); every code is used (GPTQ, compressed-tensors).
 * `affine`: range widened to include 0, s = (hi − lo) / (2^b − 1), z = round(−lo / s) (GPTQ, FlatQuant).
 * `affine-narrow`: as `affine` but the range is not widened and z is clamped to the codes (AWQ).
 */
export type Grid = 'signed' | 'mirrored' | 'affine' | 'affine-narrow';

/**
 * The grid a method uses for a scheme: round-to-nearest rounds symmetrically on `signed`, GPTQ on `mirrored`. AWQ's own is
 * `affine-narrow`; its symmetric form is AutoAWQ's, `signed` (llm-awq has none).
 */
export function gridFor(method: QuantizationMethod, scheme: Pick<QuantizationScheme, 'symmetric'>): Grid {
  if (!scheme.symmetric) return method === 'awq' ? 'affine-narrow' : 'affine';
  return method === 'rtn' || method === 'awq' ? 'signed' : 'mirrored';
}

/** 1.5 · 2^52: adding and subtracting it leaves no bits below one, so the addition itself rounds half to even. */
const roundingShift = 6755399441055744;

/** Nearest integer, ties to even; exact for |value| < 2^51. */
export function roundHalfEven(value: number): number {
  return value + roundingShift - roundingShift;
}

/** Code 0 … maxCode of a weight on a grid. */
export function encodeWeight(weight: number, scale: number, zero: number, maxCode: number): number {
  const code = Math.fround(weight / scale) + roundingShift - roundingShift + zero;
  return code < 0 ? 0 : code > maxCode ? maxCode : code;
}

/** The float32 weight a code stands for. */
export function decodeCode(code: number, scale: number, zero: number): number {
  return Math.fround(scale * (code - zero));
}
