/**
 * Causal grouped-query attention, forward and backward, on [batch, seq, heads, headDim] without head transposes. One (batch, key head) at a
 * time: its keys and values are transposed once into scratch, queries come in blocks. The backward pass recomputes probabilities from the
 * saved log-sum-exp, as flash attention does (Dao et al., arXiv 2205.14135). headDim must be a multiple of 4.
 */
import { at, exp4, log1, maxLanes, sumLanes } from './math';
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
 * q, out [batch, seq, heads, headDim]; k, v [batch, keys, kvHeads, headDim]; logSum [batch, heads, seq] for the backward pass.
 * Query t sees keys 0 … keys − seq + t.
 */
export function attentionForward(
  q: usize,
  k: usize,
  v: usize,
  out: usize,
  logSum: usize,
  scratch: usize,
  batch: i32,
  seq: i32,
  keys: i32,
  heads: i32,
  kvHeads: i32,
  headDim: i32,
  scale: f32,
): void {
  const width = padded(keys);
  const group = heads / kvHeads;
  const qRow = heads * headDim;
  const kRow = kvHeads * headDim;
  const keysT = scratch;
  const scores = at(keysT, width * headDim);
  for (let b = 0; b < batch; b++) {
    for (let kh = 0; kh < kvHeads; kh++) {
      const kStart = at(k, b * keys * kRow + kh * headDim);
      const vStart = at(v, b * keys * kRow + kh * headDim);
      memory.fill(keysT, 0, (<usize>(width * headDim)) << 2);
      transposeInto(kStart, kRow, keysT, width, keys, headDim);
      for (let h = kh * group; h < (kh + 1) * group; h++) {
        const qStart = at(q, b * seq * qRow + h * headDim);
        const outStart = at(out, b * seq * qRow + h * headDim);
        const sums = at(logSum, (b * heads + h) * seq);
        for (let t = 0; t < seq; t += 4) {
          const rows = min(4, seq - t);
          const visible = keys - seq + t + rows;
          product(at(qStart, t * qRow), qRow, 1, keysT, width, scores, width, rows, padded(visible), headDim, false);
          for (let r = 0; r < rows; r++) {
            const row = at(scores, r * width);
            store<f32>(at(sums, t + r), softmaxRow(row, visible - rows + r + 1, padded(visible), scale));
          }
          product(scores, width, 1, vStart, kRow, at(outStart, t * qRow), qRow, rows, headDim, visible, false);
        }
      }
    }
  }
}

/** Turns scores into probabilities over the first `count` entries and zeroes the rest up to `width`; returns log Σ exp. */
function softmaxRow(row: usize, count: i32, width: i32, scale: f32): f32 {
  const factor = f32x4.splat(scale);
  for (let j = count; j < width; j++) store<f32>(at(row, j), -Infinity);
  let largest4 = f32x4.splat(-Infinity);
  for (let j = 0; j < width; j += 4) {
    const s = f32x4.mul(v128.load(at(row, j)), factor);
    v128.store(at(row, j), s);
    largest4 = f32x4.max(largest4, s);
  }
  const largest = maxLanes(largest4);
  const shift = f32x4.splat(largest);
  let total4 = f32x4.splat(0);
  for (let j = 0; j < width; j += 4) {
    const e = exp4(f32x4.sub(v128.load(at(row, j)), shift));
    v128.store(at(row, j), e);
  }
  for (let j = count; j < width; j++) store<f32>(at(row, j), 0);
  for (let j = 0; j < width; j += 4) total4 = f32x4.add(total4, v128.load(at(row, j)));
  const total = sumLanes(total4);
  const share = f32x4.splat(1 / total);
  for (let j = 0; j < width; j += 4) v128.store(at(row, j), f32x4.mul(v128.load(at(row, j)), share));
  return largest + <f32>log1(total);
}

/** dq like q; dk and dv like k and v. Needs the forward pass's `out` and `logSum`. */
export function attentionBackward(
  q: usize,
  k: usize,
  v: usize,
  out: usize,
  logSum: usize,
  dOut: usize,
  dq: usize,
  dk: usize,
  dv: usize,
  scratch: usize,
  batch: i32,
  seq: i32,
  keys: i32,
  heads: i32,
  kvHeads: i32,
  headDim: i32,
  scale: f32,
): void {
  const width = padded(keys);
  const group = heads / kvHeads;
  const qRow = heads * headDim;
  const kRow = kvHeads * headDim;
  const keysT = scratch;
  const valuesT = at(keysT, width * headDim);
  const p = at(valuesT, width * headDim);
  const ds = at(p, blockRows * width);
  const rowSums = at(ds, blockRows * width);
  const kvBytes = (<usize>(batch * keys * kRow)) << 2;
  memory.fill(dk, 0, kvBytes);
  memory.fill(dv, 0, kvBytes);
  for (let b = 0; b < batch; b++) {
    for (let kh = 0; kh < kvHeads; kh++) {
      const kvStart = b * keys * kRow + kh * headDim;
      memory.fill(keysT, 0, (<usize>(2 * width * headDim)) << 2);
      transposeInto(at(k, kvStart), kRow, keysT, width, keys, headDim);
      transposeInto(at(v, kvStart), kRow, valuesT, width, keys, headDim);
      for (let h = kh * group; h < (kh + 1) * group; h++) {
        const sums = at(logSum, (b * heads + h) * seq);
        for (let t = 0; t < seq; t += blockRows) {
          const rows = min(blockRows, seq - t);
          const qOffset = (b * seq + t) * qRow + h * headDim;
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
              scoreGradients(
                at(p, place),
                at(ds, place),
                first + r + i + 1,
                padded(visible),
                scale,
                load<f32>(at(sums, t + r + i)),
                load<f32>(at(rowSums, r + i)),
              );
            }
            product(dsBlock, width, 1, at(k, kvStart), kRow, at(dq, qPlace), qRow, count, headDim, visible, false);
          }
          for (let j = 0; j < first + rows; j += 4) {
            // Queries that see key j start at row j − first, in the block of four that wrote whole vectors.
            const from = max(0, (j - first) & ~3);
            const count = min(4, keys - j);
            const qPlace = qOffset + from * qRow;
            product(
              at(p, from * width + j),
              1,
              width,
              at(dOut, qPlace),
              qRow,
              at(dv, kvStart + j * kRow),
              kRow,
              count,
              headDim,
              rows - from,
              true,
            );
            product(
              at(ds, from * width + j),
              1,
              width,
              at(q, qPlace),
              qRow,
              at(dk, kvStart + j * kRow),
              kRow,
              count,
              headDim,
              rows - from,
              true,
            );
          }
        }
      }
    }
  }
}

/** Σ over headDim of out · dOut per row. */
function rowProducts(out: usize, dOut: usize, result: usize, rows: i32, headDim: i32, stride: i32): void {
  for (let r = 0; r < rows; r++) {
    let total = f32x4.splat(0);
    for (let j = 0; j < headDim; j += 4) {
      const place = r * stride + j;
      total = f32x4.relaxed_madd(v128.load(at(out, place)), v128.load(at(dOut, place)), total);
    }
    store<f32>(at(result, r), sumLanes(total));
  }
}

/** Scores → probabilities in `p`; dP → scale · p · (dP − rowSum) in `ds`; zero beyond `count`. */
function scoreGradients(p: usize, ds: usize, count: i32, width: i32, scale: f32, logSum: f32, rowSum: f32): void {
  const factor = f32x4.splat(scale);
  const shift = f32x4.splat(-logSum);
  const sum = f32x4.splat(rowSum);
  for (let j = count; j < width; j++) store<f32>(at(p, j), -Infinity);
  for (let j = 0; j < width; j += 4) {
    const probability = exp4(f32x4.relaxed_madd(v128.load(at(p, j)), factor, shift));
    v128.store(at(p, j), probability);
    const difference = f32x4.sub(v128.load(at(ds, j)), sum);
    v128.store(at(ds, j), f32x4.mul(f32x4.mul(probability, factor), difference));
  }
  for (let j = count; j < width; j++) {
    store<f32>(at(p, j), 0);
    store<f32>(at(ds, j), 0);
  }
}
