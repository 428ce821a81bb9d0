/**
 * Packed weights back to floats, four at a time: the bits of four codes are brought into every lane, a multiplication shifts each lane's code
 * to the top, one shift brings it down. Rows from … to − 1. Words are followed by 8 bytes that may be read.
 */
import { at } from './math';

/** The next four codes of `bits` bits from bit `bit` of the stream at `words`. */
function fourCodes(words: usize, bit: u64, bits: i32, lanes: v128): v128 {
  const window = <i32>(load<u64>(words + <usize>(bit >> 3)) >> (bit & 7));
  return i32x4.shr_u(i32x4.mul(i32x4.splat(window), lanes), 32 - bits);
}

function oneCode(words: usize, bit: u64, bits: i32): i32 {
  return <i32>(load<u64>(words + <usize>(bit >> 3)) >> (bit & 7)) & ((1 << bits) - 1);
}

function laneFactors(bits: i32): v128 {
  return i32x4.replace_lane(
    i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(1 << (32 - bits)), 1, 1 << (32 - 2 * bits)), 2, 1 << (32 - 3 * bits)),
    3,
    // At 8 bits the last code is at the top already.
    1 << (32 - 4 * bits),
  );
}

/**
 * y [rows, columns] = scale · (code − zero). Codes: rows of `wordsPerRow` words; scales [rows, groups]; zeros: one bit stream over
 * [rows, groups], or 0 for the middle code; groupIndex [columns], or 0 for consecutive groups of `groupSize`.
 */
export function dequantizeInteger(
  _thread: i32,
  from: i32,
  to: i32,
  words: usize,
  scales: usize,
  zeros: usize,
  groupIndex: usize,
  y: usize,
  columns: i32,
  wordsPerRow: i32,
  groups: i32,
  groupSize: i32,
  bits: i32,
): void {
  const lanes = laneFactors(bits);
  const middle = 1 << (bits - 1);
  for (let row = from; row < to; row++) {
    const codes = at(words, row * wordsPerRow);
    const out = at(y, row * columns);
    if (groupIndex) {
      for (let j = 0; j < columns; j++) {
        const group = row * groups + load<i32>(at(groupIndex, j));
        const zero = zeros ? oneCode(zeros, <u64>group * bits, bits) : middle;
        const code = oneCode(codes, <u64>j * bits, bits);
        store<f32>(at(out, j), load<f32>(at(scales, group)) * <f32>(code - zero));
      }
      continue;
    }
    for (let group = 0; group < groups; group++) {
      const place = row * groups + group;
      const scale = load<f32>(at(scales, place));
      const zero = zeros ? oneCode(zeros, <u64>place * bits, bits) : middle;
      const end = min(columns, (group + 1) * groupSize);
      let j = group * groupSize;
      const z = i32x4.splat(zero);
      const s = f32x4.splat(scale);
      for (; j + 4 <= end; j += 4) {
        const code = fourCodes(codes, <u64>j * bits, bits, lanes);
        v128.store(at(out, j), f32x4.mul(f32x4.convert_i32x4_s(i32x4.sub(code, z)), s));
      }
      for (; j < end; j++) store<f32>(at(out, j), scale * <f32>(oneCode(codes, <u64>j * bits, bits) - zero));
    }
  }
}

/** y = level[code] · absmax, over blocks from … to − 1 of `blockSize` weights; `count` weights in all; levels [16]. */
export function dequantizeNf4(
  _thread: i32,
  from: i32,
  to: i32,
  words: usize,
  absmax: usize,
  levels: usize,
  y: usize,
  count: i32,
  blockSize: i32,
): void {
  for (let block = from; block < to; block++) {
    const scale = load<f32>(at(absmax, block));
    const end = min(count, (block + 1) * blockSize);
    for (let j = block * blockSize; j < end; j++) {
      store<f32>(at(y, j), load<f32>(at(levels, oneCode(words, <u64>j * 4, 4))) * scale);
    }
  }
}
