/**
 * x^2.4 for x ≥ 0 by table: several times as fast as `**` and the same on every platform. The range search evaluates it dozens of times
 * per weight. With x = 2^e · m · (1 + δ), m the middle of one of 256 mantissa steps, |δ| < 2⁻⁹ and a cubic in δ errs by less than 1e-12.
 */

const exponent = 2.4;
const scratch = new Float64Array(1);
/** The high word comes second: every supported platform is little-endian. */
const words = new Uint32Array(scratch.buffer);

/** By biased exponent: 2^(2.4·e), and 2^−e. Numbers below 2⁻¹⁰²² count as 0. */
const powers = Float64Array.from({ length: 2048 }, (_, biased) => (biased === 0 ? 0 : 2 ** (exponent * (biased - 1023))));
const inverses = powers.map((_, biased) => 2 ** (1023 - biased));
const middles = Float64Array.from({ length: 256 }, (_, step) => 1 + (step + 0.5) / 256);
const middlePowers = middles.map((middle) => middle ** exponent);
const middleInverses = middles.map((middle) => 1 / middle);

/** x^2.4 within 1e-12 of the true value, relatively; for 0 ≤ x < 1e120. */
export function power24(x: number): number {
  scratch[0] = x;
  const high = words[1]!;
  const biased = high >>> 20;
  const step = (high >>> 12) & 255;
  const delta = x * inverses[biased]! * middleInverses[step]! - 1;
  return powers[biased]! * middlePowers[step]! * (1 + delta * (2.4 + delta * (1.68 + delta * 0.224)));
}
