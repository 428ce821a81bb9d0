/** What is done to the rows that a linear reads, in place: an online transform, then quantization. A row's result depends on that row alone. */
import { at } from '../../backends/wasm/kernels/math';
import { product } from '../../backends/wasm/kernels/product';
import { quantizeRow } from '../../backends/wasm/kernels/quantize-tokens';

/**
 * Rows of x [rows, n1 · n2], seen as X [n1, n2], become leftᵀ · X · right (address 0: the identity) and are then quantized (address 0: not).
 * n2 is a multiple of 4. scratch: 2 · n1 · n2 floats
 */
export function prepareInput(x: usize, left: usize, right: usize, quantizer: usize, scratch: usize, rows: i32, n1: i32, n2: i32): void {
  const size = n1 * n2;
  const second = at(scratch, size);
  for (let row = 0; row < rows; row++) {
    const place = at(x, row * size);
    let from = place;
    if (right) {
      product(from, n2, 1, right, n2, scratch, n2, n1, n2, n2, false);
      from = scratch;
    }
    if (left) {
      product(left, 1, n1, from, n2, second, n2, n1, n2, n1, false);
      from = second;
    }
    if (quantizer) quantizeRow(from, place, size, quantizer);
    else if (from !== place) memory.copy(place, from, (<usize>size) << 2);
  }
}
