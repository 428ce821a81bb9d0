/**
 * Causal grouped-query attention, forward and backward, on [batch, seq, heads, headDim] without head transposes. One (batch, key head) at a
 * time: its keys and values are transposed once into scratch, queries come in blocks. The backward pass recomputes probabilities from the
 * saved row statistics, as flash attention does (Dao et al., arXiv 2205.14135). headDim must be a multiple of 4.
 */
import { at, exp4, fma, maxLanes, sumLanes } from './math';
import { product, transposeInto } from './product';

/** Queries handled together in the backward pass; a block's scores stay in the cache. */
const blockRows: i32 = 64;

/** Keys rounded up to whole vectors of the product kernel. */
function padded(keys: i32): i32 {
  return (keys + 7) & ~7;
}

/** Bytes of scratch either pass needs. */
export function attentionScratch(keys: i32, headDim: i32): usize {
  return (<usize>padded(keys) * <usize>(2 * headDim + 2 * blockRows) + <usize>blockRows) << 2;
}

/**
 * q, out [batch, seq, heads, headDim]; k, v [batch, keys, kvHeads, headDim]; rowStats [batch, heads, seq, 2] (largest scaled score, 1 / Σ exp)
 * for the backward pass. Query t sees keys 0 … keys − seq + t. Items are pairs (batch, key head); each thread has its own scratch.
 * Where `starts` is not 0 the batch is one row of sequences, each of which sees itself alone: starts, int32 [sequences + 1], are their first rows
 * and the end; batchSeq and batchKeys are the longest one's length; the statistics of a sequence lie together, [heads, length, 2].
 */
export function attentionForward(
  thread: i32,
  from: i32,
  to: i32,
  q: usize,
  k: usize,
  v: usize,
  out: usize,
  rowStats: usize,
  scratch: usize,
  batchSeq: i32,
  batchKeys: i32,
  heads: i32,
  kvHeads: i32,
  headDim: i32,
  scale: f32,
  starts: usize,
): void {
  const group = heads / kvHeads;
  const qRow = heads * headDim;
  const kRow = kvHeads * headDim;
  const keysT = scratch + <usize>thread * attentionScratch(batchKeys, headDim);
  for (let item = from; item < to; item++) {
    const b = item / kvHeads;
    const kh = item % kvHeads;
    const firstQuery = starts ? load<i32>(at(starts, b)) : b * batchSeq;
    const firstKey = starts ? firstQuery : b * batchKeys;
    const seq = starts ? load<i32>(at(starts, b + 1)) - firstQuery : batchSeq;
    const keys = starts ? seq : batchKeys;
    const width = padded(keys);
    const scores = at(keysT, width * headDim);
    const kStart = at(k, firstKey * kRow + kh * headDim);
    const vStart = at(v, firstKey * kRow + kh * headDim);
    transposeInto(kStart, kRow, keysT, width, keys, headDim);
    for (let h = kh * group; h < (kh + 1) * group; h++) {
      const qStart = at(q, firstQuery * qRow + h * headDim);
      const outStart = at(out, firstQuery * qRow + h * headDim);
      const stats = at(rowStats, 2 * (firstQuery * heads + h * seq));
      for (let t = 0; t < seq; t += 4) {
        const rows = min(4, seq - t);
        const visible = keys - seq + t + rows;
        product(at(qStart, t * qRow), qRow, 1, keysT, width, scores, width, rows, padded(visible), headDim, false);
        for (let r = 0; r < rows; r++) {
          const count = visible - rows + r + 1;
          exponentials(at(scores, r * width), count, padded(visible), scale, at(stats, 2 * (t + r)));
        }
        product(scores, width, 1, vStart, kRow, at(outStart, t * qRow), qRow, rows, headDim, visible, false);
        for (let r = 0; r < rows; r++) scaleRow(at(outStart, (t + r) * qRow), load<f32>(at(stats, 2 * (t + r) + 1)), headDim);
      }
    }
  }
}

/**
 * Turns the first `count` scores into exp(scale · s − largest) and zeroes the rest up to `width`. Writes the largest scaled score and the
 * reciprocal of the exponentials' sum to `stats`.
 */
function exponentials(row: usize, count: i32, width: i32, scale: f32, stats: usize): void {
  for (let j = count; j < width; j++) store<f32>(at(row, j), -Infinity);
  let largest4 = f32x4.splat(-Infinity);
  for (let j = 0; j < width; j += 4) largest4 = f32x4.max(largest4, v128.load(at(row, j)));
  const largest = maxLanes(largest4) * scale;
  const factor = f32x4.splat(scale);
  const shift = f32x4.splat(-largest);
  let total4 = f32x4.splat(0);
  // Entries beyond count add e⁻⁸⁷ to the sum, which rounds away beside the largest entry's 1.
  for (let j = 0; j < width; j += 4) {
    const e = exp4(fma(v128.load(at(row, j)), factor, shift));
    v128.store(at(row, j), e);
    total4 = f32x4.add(total4, e);
  }
  for (let j = count; j < width; j++) store<f32>(at(row, j), 0);
  store<f32>(stats, largest);
  store<f32>(at(stats, 1), 1 / sumLanes(total4));
}

function scaleRow(row: usize, by: f32, count: i32): void {
  const factor = f32x4.splat(by);
  for (let j = 0; j < count; j += 4) v128.store(at(row, j), f32x4.mul(v128.load(at(row, j)), factor));
}

/** dq like q; dk and dv like k and v. Needs the forward pass's `out` and `rowStats`. Items as there. */
export function attentionBackward(
  thread: i32,
  from: i32,
  to: i32,
  q: usize,
  k: usize,
  v: usize,
  out: usize,
  rowStats: usize,
  dOut: usize,
  dq: usize,
  dk: usize,
  dv: usize,
  scratch: usize,
  batchSeq: i32,
  batchKeys: i32,
  heads: i32,
  kvHeads: i32,
  headDim: i32,
  scale: f32,
  starts: usize,
): void {
  const group = heads / kvHeads;
  const qRow = heads * headDim;
  const kRow = kvHeads * headDim;
  const keysT = scratch + <usize>thread * attentionScratch(batchKeys, headDim);
  for (let item = from; item < to; item++) {
    const b = item / kvHeads;
    const kh = item % kvHeads;
    const firstQuery = starts ? load<i32>(at(starts, b)) : b * batchSeq;
    const firstKey = starts ? firstQuery : b * batchKeys;
    const seq = starts ? load<i32>(at(starts, b + 1)) - firstQuery : batchSeq;
    const keys = starts ? seq : batchKeys;
    const width = padded(keys);
    const valuesT = at(keysT, width * headDim);
    const p = at(valuesT, width * headDim);
    const ds = at(p, blockRows * width);
    const rowSums = at(ds, blockRows * width);
    const kvStart = firstKey * kRow + kh * headDim;
    clearRows(at(dk, kvStart), at(dv, kvStart), keys, headDim, kRow);
    transposeInto(at(k, kvStart), kRow, keysT, width, keys, headDim);
    transposeInto(at(v, kvStart), kRow, valuesT, width, keys, headDim);
    for (let h = kh * group; h < (kh + 1) * group; h++) {
      const stats = at(rowStats, 2 * (firstQuery * heads + h * seq));
      for (let t = 0; t < seq; t += blockRows) {
        const rows = min(blockRows, seq - t);
        const qOffset = (firstQuery + t) * qRow + h * headDim;
        const first = keys - seq + t;
        rowProducts(at(out, qOffset), at(dOut, qOffset), rowSums, rows, headDim, qRow);
        for (let r = 0; r < rows; r += 4) {
          const count = min(4, rows - r);
          const visible = first + r + count;
          const qPlace = qOffset + r * qRow;
          const pBlock = at(p, r * width);
          const dsBlock = at(ds, r * width);
          product(at(q, qPlace), qRow, 1, keysT, width, pBlock, width, count, padded(visible), headDim, false);
          product(at(dOut, qPlace), qRow, 1, valuesT, width, dsBlock, width, count, padded(visible), headDim, false);
          for (let i = 0; i < count; i++) {
            const place = (r + i) * width;
            const row = at(stats, 2 * (t + r + i));
            scoreGradients(at(p, place), at(ds, place), first + r + i + 1, padded(visible), scale, row, load<f32>(at(rowSums, r + i)));
          }
          product(dsBlock, width, 1, at(k, kvStart), kRow, at(dq, qPlace), qRow, count, headDim, visible, false);
        }
        for (let j = 0; j < first + rows; j += 4) {
          // Queries that see key j start at row j − first, in the block of four that wrote whole vectors.
          const start = max(0, (j - first) & ~3);
          const count = min(4, keys - j);
          const qPlace = qOffset + start * qRow;
          const kPlace = kvStart + j * kRow;
          product(at(p, start * width + j), 1, width, at(dOut, qPlace), qRow, at(dv, kPlace), kRow, count, headDim, rows - start, true);
          product(at(ds, start * width + j), 1, width, at(q, qPlace), qRow, at(dk, kPlace), kRow, count, headDim, rows - start, true);
        }
      }
    }
  }
}

/** Zeroes `size` floats in each of `count` rows of two matrices. */
function clearRows(a: usize, b: usize, count: i32, size: i32, stride: i32): void {
  for (let row = 0; row < count; row++) {
    memory.fill(at(a, row * stride), 0, (<usize>size) << 2);
    memory.fill(at(b, row * stride), 0, (<usize>size) << 2);
  }
}

/** Σ over headDim of out · dOut per row. */
function rowProducts(out: usize, dOut: usize, result: usize, rows: i32, headDim: i32, stride: i32): void {
  for (let r = 0; r < rows; r++) {
    let total = f32x4.splat(0);
    for (let j = 0; j < headDim; j += 4) {
      const place = r * stride + j;
      total = fma(v128.load(at(out, place)), v128.load(at(dOut, place)), total);
    }
    store<f32>(at(result, r), sumLanes(total));
  }
}

/** Scores → probabilities in `p`; dP → scale · p · (dP − rowSum) in `ds`; zero beyond `count`. */
function scoreGradients(p: usize, ds: usize, count: i32, width: i32, scale: f32, stats: usize, rowSum: f32): void {
  const factor = f32x4.splat(scale);
  const shift = f32x4.splat(-load<f32>(stats));
  const share = f32x4.splat(load<f32>(at(stats, 1)));
  const sum = f32x4.splat(rowSum);
  for (let j = count; j < width; j++) store<f32>(at(p, j), -Infinity);
  for (let j = 0; j < width; j += 4) {
    const probability = f32x4.mul(exp4(fma(v128.load(at(p, j)), factor, shift)), share);
    v128.store(at(p, j), probability);
    const difference = f32x4.sub(v128.load(at(ds, j)), sum);
    v128.store(at(ds, j), f32x4.mul(f32x4.mul(probability, factor), difference));
  }
  for (let j = count; j < width; j++) {
    store<f32>(at(p, j), 0);
    store<f32>(at(ds, j), 0);
  }
}
