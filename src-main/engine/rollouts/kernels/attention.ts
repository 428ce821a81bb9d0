/**
 * Grouped-query attention of single queries over the key/value cache (layout: cache.ts). Query heads that share a key/value head are taken
 * two at a time, so that every key and value is loaded once for both. A row's result depends on its query, its slot and its position alone.
 */
import { at, fma, maxLanes, sumLanes } from '../../backends/wasm/kernels/math';
import { blockPositions, headBlock } from './cache';
import { exponential4 } from './exponential';
import { chunkPositions, fetch } from './fetch';

/**
 * Row r attends to positions 0 … positions[r] of its slot. Queries are rotated and scaled already.
 * qkv [rows, (heads + 2 · kvHeads) · headDim]; out [rows, heads · headDim]; scores: scratch of 2 · capacity floats
 */
export function attend(
  qkv: usize,
  slots: usize,
  positions: usize,
  keys: usize,
  values: usize,
  scores: usize,
  out: usize,
  rows: i32,
  heads: i32,
  kvHeads: i32,
  headDim: i32,
  capacity: i32,
): void {
  const width = (heads + 2 * kvHeads) * headDim;
  const group = heads / kvHeads;
  const scores1 = at(scores, capacity);
  for (let row = 0; row < rows; row++) {
    const slot = load<i32>(at(slots, row));
    const count = load<i32>(at(positions, row)) + 1;
    for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
      const k = headBlock(keys, slot, kvHead, kvHeads, capacity, headDim);
      const v = headBlock(values, slot, kvHead, kvHeads, capacity, headDim);
      for (let g = 0; g < group; g += 2) {
        // An odd group's last head runs as a pair with itself.
        const h0 = kvHead * group + g;
        const h1 = min(h0 + 1, (kvHead + 1) * group - 1);
        const q = at(qkv, row * width);
        scorePair(at(q, h0 * headDim), at(q, h1 * headDim), k, count, headDim, scores, scores1);
        const share0 = exponentials(scores, count);
        const share1 = exponentials(scores1, count);
        const o = at(out, row * heads * headDim);
        mixPair(scores, scores1, share0, share1, v, count, headDim, at(o, h0 * headDim), at(o, h1 * headDim));
      }
    }
  }
}

/** Scores of two queries against positions 0 … count − 1, written in whole blocks of 16. */
function scorePair(q0: usize, q1: usize, keys: usize, count: i32, headDim: i32, scores0: usize, scores1: usize): void {
  const chunk = chunkPositions(headDim);
  for (let block = 0; block < count; block += blockPositions) {
    const k = at(keys, block * headDim);
    if (block % chunk === 0) fetch(k, min(chunk, count - block) * headDim);
    let a0 = f32x4.splat(0);
    let a1 = f32x4.splat(0);
    let a2 = f32x4.splat(0);
    let a3 = f32x4.splat(0);
    let b0 = f32x4.splat(0);
    let b1 = f32x4.splat(0);
    let b2 = f32x4.splat(0);
    let b3 = f32x4.splat(0);
    for (let j = 0; j < headDim; j++) {
      const x = v128.load32_splat(at(q0, j));
      const y = v128.load32_splat(at(q1, j));
      const place = at(k, j * blockPositions);
      const k0 = v128.load(place);
      const k1 = v128.load(place, 16);
      const k2 = v128.load(place, 32);
      const k3 = v128.load(place, 48);
      a0 = fma(x, k0, a0);
      a1 = fma(x, k1, a1);
      a2 = fma(x, k2, a2);
      a3 = fma(x, k3, a3);
      b0 = fma(y, k0, b0);
      b1 = fma(y, k1, b1);
      b2 = fma(y, k2, b2);
      b3 = fma(y, k3, b3);
    }
    const s0 = at(scores0, block);
    const s1 = at(scores1, block);
    v128.store(s0, a0);
    v128.store(s0, a1, 16);
    v128.store(s0, a2, 32);
    v128.store(s0, a3, 48);
    v128.store(s1, b0);
    v128.store(s1, b1, 16);
    v128.store(s1, b2, 32);
    v128.store(s1, b3, 48);
  }
}

/** Replaces `count` scores by exp(score − largest); returns 1 / their sum. */
function exponentials(scores: usize, count: i32): f32 {
  const whole = (count + 3) & ~3;
  // What lies beyond the count is no score. As −∞ it adds e⁻⁸⁷ to a sum of at least 1, which rounds away.
  for (let j = count; j < whole; j++) store<f32>(at(scores, j), -Infinity);
  let largest4 = v128.load(scores);
  for (let j = 4; j < whole; j += 4) largest4 = f32x4.pmax(largest4, v128.load(at(scores, j)));
  const largest = f32x4.splat(maxLanes(largest4));
  let total = f32x4.splat(0);
  for (let j = 0; j < whole; j += 4) {
    const power = exponential4(f32x4.sub(v128.load(at(scores, j)), largest));
    v128.store(at(scores, j), power);
    total = f32x4.add(total, power);
  }
  return 1 / sumLanes(total);
}

/** out = share · Σ weight · value for both heads. */
function mixPair(
  weights0: usize,
  weights1: usize,
  share0: f32,
  share1: f32,
  values: usize,
  count: i32,
  headDim: i32,
  out0: usize,
  out1: usize,
): void {
  memory.fill(out0, 0, (<usize>headDim) << 2);
  memory.fill(out1, 0, (<usize>headDim) << 2);
  const chunk = chunkPositions(headDim);
  for (let from = 0; from < count; from += chunk) {
    const positions = min(chunk, count - from);
    const v = at(values, from * headDim);
    fetch(v, positions * headDim);
    addValues(at(weights0, from), at(weights1, from), v, positions, headDim, out0, out1);
  }
  for (let j = 0; j < headDim; j += 4) {
    v128.store(at(out0, j), f32x4.mul(v128.load(at(out0, j)), f32x4.splat(share0)));
    // Both are the same place when an odd group's last head runs as a pair with itself.
    if (out1 !== out0) v128.store(at(out1, j), f32x4.mul(v128.load(at(out1, j)), f32x4.splat(share1)));
  }
}

/** out += Σ weight · value over `count` positions, for both heads. */
function addValues(weights0: usize, weights1: usize, values: usize, count: i32, headDim: i32, out0: usize, out1: usize): void {
  const whole = headDim & ~15;
  for (let j = 0; j < whole; j += 16) {
    const o0 = at(out0, j);
    const o1 = at(out1, j);
    let a0 = v128.load(o0);
    let a1 = v128.load(o0, 16);
    let a2 = v128.load(o0, 32);
    let a3 = v128.load(o0, 48);
    let b0 = v128.load(o1);
    let b1 = v128.load(o1, 16);
    let b2 = v128.load(o1, 32);
    let b3 = v128.load(o1, 48);
    for (let t = 0; t < count; t++) {
      const x = v128.load32_splat(at(weights0, t));
      const y = v128.load32_splat(at(weights1, t));
      const place = at(values, t * headDim + j);
      const v0 = v128.load(place);
      const v1 = v128.load(place, 16);
      const v2 = v128.load(place, 32);
      const v3 = v128.load(place, 48);
      a0 = fma(x, v0, a0);
      a1 = fma(x, v1, a1);
      a2 = fma(x, v2, a2);
      a3 = fma(x, v3, a3);
      b0 = fma(y, v0, b0);
      b1 = fma(y, v1, b1);
      b2 = fma(y, v2, b2);
      b3 = fma(y, v3, b3);
    }
    v128.store(o0, a0);
    v128.store(o0, a1, 16);
    v128.store(o0, a2, 32);
    v128.store(o0, a3, 48);
    v128.store(o1, b0);
    v128.store(o1, b1, 16);
    v128.store(o1, b2, 32);
    v128.store(o1, b3, 48);
  }
  for (let j = whole; j < headDim; j += 4) {
    let a = v128.load(at(out0, j));
    let b = v128.load(at(out1, j));
    for (let t = 0; t < count; t++) {
      const v = v128.load(at(values, t * headDim + j));
      a = fma(v128.load32_splat(at(weights0, t)), v, a);
      b = fma(v128.load32_splat(at(weights1, t)), v, b);
    }
    v128.store(at(out0, j), a);
    v128.store(at(out1, j), b);
  }
}
