/**
 * How other tools lay integer codes out in 32-bit words. GPTQ writes one bit stream per output, least significant bit first, transposed; AWQ
 * packs eight outputs per word in an order of its own; compressed-tensors never lets a code straddle two words.
 */
import { nf4ZeroCode } from './nf4.ts';
import { packCodes, packedWords, unpackCodes } from './packed-linear.ts';

/** Nibble i of an AWQ word holds the output `awqOrder[i]` of its eight. */
export const awqOrder = [0, 2, 4, 6, 1, 3, 5, 7] as const;

/** [rows, columns] → [columns, rows]. */
export function transpose<T extends Uint8Array | Int32Array | Float32Array>(values: T, rows: number, columns: number): T {
  const result = new (values.constructor as new (length: number) => T)(values.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) result[column * rows + row] = values[row * columns + column]!;
  return result;
}

/** Codes [rows, columns] → words [columns · bits / 32, rows]: packed along columns, as GPTQ packs weights [out, in] along inputs. */
export function packGptq(codes: Uint8Array, rows: number, columns: number, bits: number): Int32Array {
  return transpose(packCodes(codes, rows, columns, bits), rows, packedWords(columns, bits));
}

/** The inverse of `packGptq`. */
export function unpackGptq(words: Int32Array, rows: number, columns: number, bits: number): Uint8Array {
  return unpackCodes(transpose(words, packedWords(columns, bits), rows), rows, columns, bits);
}

/** 4-bit codes [rows, columns] → words [rows, columns / 8] in AWQ's order. */
export function packAwq(codes: Uint8Array, rows: number, columns: number): Int32Array {
  const words = new Int32Array((rows * columns) / 8);
  for (let word = 0; word < words.length; word++)
    for (let nibble = 0; nibble < 8; nibble++) words[word]! |= codes[8 * word + awqOrder[nibble]!]! << (4 * nibble);
  return words;
}

/** The inverse of `packAwq`. */
export function unpackAwq(words: Int32Array, rows: number, columns: number): Uint8Array {
  const codes = new Uint8Array(rows * columns);
  for (let word = 0; word < words.length; word++)
    for (let nibble = 0; nibble < 8; nibble++) codes[8 * word + awqOrder[nibble]!] = (words[word]! >>> (4 * nibble)) & 15;
  return codes;
}

/** Words per row when each holds ⌊32 / bits⌋ whole codes. */
export function wholeCodeWords(columns: number, bits: number): number {
  return Math.ceil(columns / Math.floor(32 / bits));
}

/** Codes [rows, columns] → words [rows, wholeCodeWords]: compressed-tensors' packing; 3-bit codes waste two bits of each word. */
export function packWholeCodes(codes: Uint8Array, rows: number, columns: number, bits: number): Int32Array {
  const perWord = Math.floor(32 / bits);
  const words = wholeCodeWords(columns, bits);
  const packed = new Int32Array(rows * words);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      packed[row * words + Math.floor(column / perWord)]! |= codes[row * columns + column]! << (bits * (column % perWord));
  return packed;
}

/** The inverse of `packWholeCodes`. */
export function unpackWholeCodes(packed: Int32Array, rows: number, columns: number, bits: number): Uint8Array {
  const perWord = Math.floor(32 / bits);
  const words = wholeCodeWords(columns, bits);
  const mask = 2 ** bits - 1;
  const codes = new Uint8Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      codes[row * columns + column] = (packed[row * words + Math.floor(column / perWord)]! >>> (bits * (column % perWord))) & mask;
  return codes;
}

/** NF4 codes → bytes, two per byte, the first in the high nibble; an odd last one is followed by the code of 0 (bitsandbytes). */
export function packNibbles(codes: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(codes.length / 2));
  for (let i = 0; i < bytes.length; i++) bytes[i] = (codes[2 * i]! << 4) | (codes[2 * i + 1] ?? nf4ZeroCode);
  return bytes;
}

/** The inverse of `packNibbles`. */
export function unpackNibbles(bytes: Uint8Array, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, i) => (i % 2 === 0 ? bytes[i >> 1]! >> 4 : bytes[i >> 1]! & 15));
}
