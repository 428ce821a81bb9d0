/** NF4 codes as bitsandbytes stores them: two per byte, the first in the high nibble. */
import { nf4Levels } from './nf4.ts';

/** The code that stands for 0; it fills the last byte when the number of codes is odd. */
export const nf4ZeroCode = nf4Levels.indexOf(0);

/** [⌈n / 2⌉] bytes of n codes. */
export function packNf4Bytes(codes: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(codes.length / 2));
  for (let i = 0; i < bytes.length; i++) bytes[i] = (codes[2 * i]! << 4) | (codes[2 * i + 1] ?? nf4ZeroCode);
  return bytes;
}

/** The first `count` codes of the bytes. */
export function unpackNf4Bytes(bytes: Uint8Array, count: number): Uint8Array {
  const codes = new Uint8Array(count);
  for (let i = 0; i < count; i++) codes[i] = i % 2 === 0 ? bytes[i >>> 1]! >>> 4 : bytes[i >>> 1]! & 15;
  return codes;
}
