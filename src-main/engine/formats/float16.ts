/**
 * 16-bit floats: IEEE binary16 (scales, F16 checkpoints) and bfloat16 (BF16 checkpoints), both ways, round to nearest even.
 * Written on integer bit patterns so that it runs on every Node version and gives the same result everywhere.
 */

const scratch = new DataView(new ArrayBuffer(4));

function floatBits(value: number): number {
  scratch.setFloat32(0, value);
  return scratch.getUint32(0);
}

/** The binary16 pattern nearest to `value` (ties to even; above 65504 becomes infinity). */
export function encodeHalf(value: number): number {
  const bits = floatBits(value);
  const sign = (bits >>> 16) & 0x8000;
  const exponent = (bits >>> 23) & 0xff;
  const fraction = bits & 0x7fffff;
  if (exponent === 0xff) return sign | 0x7c00 | (fraction === 0 ? 0 : 0x200);
  const halfExponent = exponent - 112;
  if (halfExponent >= 31) return sign | 0x7c00;
  if (halfExponent > 0) return roundShift(sign, (halfExponent << 23) | fraction, 13);
  if (halfExponent < -10) return sign;
  return roundShift(sign, fraction | 0x800000, 14 - halfExponent);
}

/** `sign | pattern >> shift`, rounded to nearest even; a carry into the exponent is the right result. */
function roundShift(sign: number, pattern: number, shift: number): number {
  const kept = pattern >>> shift;
  const rest = pattern & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (kept + (rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0));
}

export function decodeHalf(pattern: number): number {
  const sign = pattern & 0x8000 ? -1 : 1;
  const exponent = (pattern >>> 10) & 0x1f;
  const fraction = pattern & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** `value` rounded to the nearest binary16 number. */
export function roundToHalf(value: number): number {
  return decodeHalf(encodeHalf(value));
}

export function encodeHalves(values: Float32Array): Uint16Array {
  const patterns = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) patterns[i] = encodeHalf(values[i]!);
  return patterns;
}

let halfTable: Float32Array | null = null;

/** Decodes many halves through a table of all 65,536 patterns (256 KiB, built on first use). */
export function decodeHalves(patterns: Uint16Array): Float32Array {
  halfTable ??= Float32Array.from({ length: 65536 }, (_, pattern) => decodeHalf(pattern));
  const values = new Float32Array(patterns.length);
  for (let i = 0; i < patterns.length; i++) values[i] = halfTable[patterns[i]!]!;
  return values;
}

export function decodeBfloats(patterns: Uint16Array): Float32Array {
  const bits = new Uint32Array(patterns.length);
  for (let i = 0; i < patterns.length; i++) bits[i] = patterns[i]! << 16;
  return new Float32Array(bits.buffer);
}

/** bfloat16 patterns, rounded to nearest even; NaN stays NaN. */
export function encodeBfloats(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const patterns = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const word = bits[i]!;
    const isNan = (word & 0x7fffffff) > 0x7f800000;
    patterns[i] = isNan ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return patterns;
}
