/**
 * The key/value cache of one layer: [slot][kv head] blocks of `capacity` positions, a multiple of 16. Keys lie as [capacity / 16][headDim][16],
 * so that 16 scores come out of four vector lanes each without sums across lanes; values lie as [capacity][headDim].
 */
import { at } from '../../backends/wasm/kernels/math';
import { product } from '../../backends/wasm/kernels/product';
import { quantizeRow } from '../../backends/wasm/kernels/quantize-tokens';
import { normalizeRow } from './rows';

/** Positions whose keys interleave. */
export const blockPositions: i32 = 16;

/** Address of the block of a slot's key/value head; the same for keys and values. */
export function headBlock(base: usize, slot: i32, head: i32, kvHeads: i32, capacity: i32, headDim: i32): usize {
  return base + ((<usize>(slot * kvHeads + head) * <usize>capacity * <usize>headDim) << 2);
}

/**
 * Normalizes (Qwen3; weights 0 for none) and rotates the queries and keys of qkv [rows, (heads + 2 · kvHeads) · headDim], multiplies the
 * queries by `scale` in place, and writes keys and values into the cache at each row's slot and position. cos, sin [capacity, headDim / 2]
 * Before that, where their addresses are not 0: queries and keys are multiplied by their transforms [headDim, headDim], keys and values
 * quantized per head. scratch: max(heads, kvHeads) · headDim floats
 */
export function appendKeysAndValues(
  qkv: usize,
  slots: usize,
  positions: usize,
  keys: usize,
  values: usize,
  queryNorm: usize,
  keyNorm: usize,
  cos: usize,
  sin: usize,
  queryTransform: usize,
  keyTransform: usize,
  keyQuantizer: usize,
  valueQuantizer: usize,
  scratch: usize,
  rows: i32,
  heads: i32,
  kvHeads: i32,
  headDim: i32,
  capacity: i32,
  epsilon: f32,
  scale: f32,
): void {
  const width = (heads + 2 * kvHeads) * headDim;
  const half = headDim / 2;
  for (let row = 0; row < rows; row++) {
    const slot = load<i32>(at(slots, row));
    const position = load<i32>(at(positions, row));
    const c = at(cos, position * half);
    const s = at(sin, position * half);
    const query = at(qkv, row * width);
    const key = at(query, heads * headDim);
    const value = at(key, kvHeads * headDim);
    for (let h = 0; h < heads; h++) {
      const q = at(query, h * headDim);
      if (queryNorm) normalizeRow(q, queryNorm, q, headDim, epsilon);
      rotateHead(q, c, s, half);
    }
    if (queryTransform) transformHeads(query, queryTransform, scratch, heads, headDim);
    for (let j = 0; j < heads * headDim; j += 4) v128.store(at(query, j), f32x4.mul(v128.load(at(query, j)), f32x4.splat(scale)));
    for (let h = 0; h < kvHeads; h++) {
      const k = at(key, h * headDim);
      if (keyNorm) normalizeRow(k, keyNorm, k, headDim, epsilon);
      rotateHead(k, c, s, half);
    }
    if (keyTransform) transformHeads(key, keyTransform, scratch, kvHeads, headDim);
    for (let h = 0; h < kvHeads; h++) {
      const k = at(key, h * headDim);
      if (keyQuantizer) quantizeRow(k, k, headDim, keyQuantizer);
      storeKey(k, headBlock(keys, slot, h, kvHeads, capacity, headDim), position, headDim);
      const v = at(value, h * headDim);
      const place = at(headBlock(values, slot, h, kvHeads, capacity, headDim), position * headDim);
      if (valueQuantizer) quantizeRow(v, place, headDim, valueQuantizer);
      else memory.copy(place, v, (<usize>headDim) << 2);
    }
  }
}

/** x = x · transform in place, x [heads, headDim]. scratch: heads · headDim floats */
function transformHeads(x: usize, transform: usize, scratch: usize, heads: i32, headDim: i32): void {
  product(x, headDim, 1, transform, headDim, scratch, headDim, heads, headDim, headDim, false);
  memory.copy(x, scratch, (<usize>(heads * headDim)) << 2);
}

/** Rotates component j against j + half, in place. */
function rotateHead(x: usize, cos: usize, sin: usize, half: i32): void {
  const whole = half & ~3;
  for (let j = 0; j < whole; j += 4) {
    const a = v128.load(at(x, j));
    const b = v128.load(at(x, j + half));
    const c = v128.load(at(cos, j));
    const s = v128.load(at(sin, j));
    v128.store(at(x, j), f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)));
    v128.store(at(x, j + half), f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)));
  }
  for (let j = whole; j < half; j++) {
    const a = load<f32>(at(x, j));
    const b = load<f32>(at(x, j + half));
    const c = load<f32>(at(cos, j));
    const s = load<f32>(at(sin, j));
    store<f32>(at(x, j), a * c - b * s);
    store<f32>(at(x, j + half), b * c + a * s);
  }
}

function storeKey(key: usize, block: usize, position: i32, headDim: i32): void {
  const within = position % blockPositions;
  const to = at(block, (position - within) * headDim + within);
  for (let j = 0; j < headDim; j++) store<f32>(at(to, j * blockPositions), load<f32>(at(key, j)));
}
