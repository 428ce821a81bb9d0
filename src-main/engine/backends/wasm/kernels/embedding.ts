/** Row gather and scatter-add by int32 ids. */
import { at } from './math';

/** The first place whose id lies outside [0, vocab), or −1. */
export function firstBadId(ids: usize, count: i32, vocab: i32): i32 {
  for (let i = 0; i < count; i++) {
    const id = load<i32>(at(ids, i));
    if (id < 0 || id >= vocab) return i;
  }
  return -1;
}

/** y[i] = table[ids[i]]; table [vocab, size], y [count, size] */
export function gatherRows(table: usize, ids: usize, y: usize, count: i32, size: i32): void {
  for (let i = 0; i < count; i++) memory.copy(at(y, i * size), at(table, load<i32>(at(ids, i)) * size), (<usize>size) << 2);
}

/** dTable[ids[i]] += dy[i], after clearing dTable [vocab, size] */
export function scatterAddRows(dy: usize, ids: usize, dTable: usize, count: i32, size: i32, vocab: i32): void {
  memory.fill(dTable, 0, (<usize>vocab * <usize>size) << 2);
  for (let i = 0; i < count; i++) addTo(at(dTable, load<i32>(at(ids, i)) * size), at(dy, i * size), size);
}

/** to += from over `count` floats */
export function addTo(to: usize, from: usize, count: i32): void {
  const whole = count & ~3;
  for (let j = 0; j < whole; j += 4) v128.store(at(to, j), f32x4.add(v128.load(at(to, j)), v128.load(at(from, j))));
  for (let j = whole; j < count; j++) store<f32>(at(to, j), load<f32>(at(to, j)) + load<f32>(at(from, j)));
}

/** x[row] += bias for every row; x [rows, size] */
export function addBias(x: usize, bias: usize, rows: i32, size: i32): void {
  for (let row = 0; row < rows; row++) addTo(at(x, row * size), bias, size);
}

/** result[j] = Σ rows x[row, j] */
export function sumRows(x: usize, result: usize, rows: i32, size: i32): void {
  memory.fill(result, 0, (<usize>size) << 2);
  for (let row = 0; row < rows; row++) addTo(result, at(x, row * size), size);
}
