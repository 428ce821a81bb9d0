/** bitsandbytes' signed 8-bit "dynamic" table, in which block scales are stored under double quantization. */

/**
 * 256 ascending values: for i = 0 … 6 the centres of 2^i equal parts of [0.1, 1] times 10^(i−6), with both signs, and 0 and 1. Each step
 * is rounded to float32 as there, so that the table is the same bit for bit. Source: bitsandbytes `create_dynamic_map`.
 */
export const dynamicTable = makeTable();

function makeTable(): Float32Array {
  const values = [0, 1];
  for (let exponent = 0; exponent < 7; exponent++) {
    const bounds = partBounds(2 ** exponent);
    const power = Math.fround(10 ** (exponent - 6));
    for (let part = 0; part + 1 < bounds.length; part++) {
      const centre = Math.fround((bounds[part]! + bounds[part + 1]!) / 2);
      values.push(centre * power, -centre * power);
    }
  }
  return Float32Array.from(values).sort();
}

/** The ends of `parts` equal parts of [0.1, 1] as `torch.linspace` gives them: the first half from below, the rest from above. */
function partBounds(parts: number): Float32Array {
  const first = Math.fround(0.1);
  const step = Math.fround(Math.fround(1 - first) / parts);
  const half = Math.floor((parts + 1) / 2);
  return Float32Array.from({ length: parts + 1 }, (_, index) => (index < half ? first + step * index : 1 - step * (parts - index)));
}

/** Index of the nearest value of an ascending table, given its midpoints; a value exactly on a midpoint takes the lower index. */
export function nearestIndex(midpoints: Float32Array, value: number): number {
  let low = 0;
  let high = midpoints.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (midpoints[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Midpoints of neighbours of an ascending table, in float32. */
export function midpointsOf(table: Float32Array): Float32Array {
  return Float32Array.from({ length: table.length - 1 }, (_, index) => Math.fround(table[index]! + table[index + 1]!) / 2);
}

/** The block scales a second level stands for: table[code] · absmax + offset, rounded to float32 after each step. */
export function restoreAbsmax(codes: Uint8Array, absmax: Float32Array, offset: number, blockSize: number): Float32Array {
  const restored = new Float32Array(codes.length);
  for (let i = 0; i < codes.length; i++) {
    restored[i] = Math.fround(dynamicTable[codes[i]!]! * absmax[Math.floor(i / blockSize)]!) + offset;
  }
  return restored;
}
