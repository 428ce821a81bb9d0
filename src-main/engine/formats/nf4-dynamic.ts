/** bitsandbytes' signed 8-bit "dynamic" table, in which block scales are stored under double quantization. */

/**
 * 256 ascending values: for i = 0 … 6 the centres of 2^i equal parts of [0.1, 1] times 10^(i−6), with both signs, and 0 and 1.
 * Source: bitsandbytes `create_dynamic_map`.
 */
export const dynamicTable = makeTable();

function makeTable(): Float32Array {
  const values = [0, 1];
  for (let exponent = 0; exponent < 7; exponent++) {
    const parts = 2 ** exponent;
    const bound = (index: number) => 0.1 + (0.9 * index) / parts;
    for (let part = 0; part < parts; part++) {
      const centre = ((bound(part) + bound(part + 1)) / 2) * 10 ** (exponent - 6);
      values.push(centre, -centre);
    }
  }
  return Float32Array.from(values).sort();
}

/** The block scales a second level stands for: table[code] · absmax + offset, rounded to float32 after each step. */
export function restoreAbsmax(codes: Uint8Array, absmax: Float32Array, offset: number, blockSize: number): Float32Array {
  const restored = new Float32Array(codes.length);
  for (let i = 0; i < codes.length; i++) {
    restored[i] = Math.fround(dynamicTable[codes[i]!]! * absmax[Math.floor(i / blockSize)]!) + offset;
  }
  return restored;
}
