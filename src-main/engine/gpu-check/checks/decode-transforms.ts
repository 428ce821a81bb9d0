/** Online transforms of the GPU decode engine, against double-precision sums: what products read, whole rows and shared ones, and heads. */
import { appendShader, type CacheShape, cacheBytes } from '../../rollouts/gpu/kernels/cache.ts';
import { quantizerWordsOf } from '../../rollouts/gpu/kernels/token-grid.ts';
import { type TransformShape, transformGroups, transformShader } from '../../rollouts/gpu/kernels/transform.ts';
import { deviation, type GpuCheck, normals } from '../check.ts';
import { runShader } from '../run-shader.ts';

const rowCount = 2;

export const decodeTransformChecks: readonly GpuCheck[] = [
  transformCheck({ rows: 16, columns: 128, left: true, right: false }),
  transformCheck({ rows: 76, columns: 128, left: true, right: true }),
  transformCheck({ rows: 43, columns: 256, left: false, right: true }),
  quantizedCheck({ rows: 64, columns: 64, left: true, right: true }),
  headsCheck(),
];

function operandsOf({ rows, columns, left, right }: TransformShape) {
  const matrix = (size: number, seed: number) => normals(size * size, seed).map((value) => value / Math.sqrt(size));
  return {
    x: normals(rowCount * rows * columns, 51),
    left: left ? matrix(rows, 52) : null,
    right: right ? matrix(columns, 53) : null,
  };
}

function nameOf({ rows, columns, left, right }: TransformShape): string {
  return `${rows}×${columns}${left ? ', left' : ''}${right ? ', right' : ''}`;
}

function transformCheck(shape: TransformShape): GpuCheck {
  return {
    name: `decode transform ${nameOf(shape)}`,
    run: async () => {
      const { x, left, right } = operandsOf(shape);
      const operands = [x, new Float32Array(x.length), ...(left ? [left] : []), ...(right ? [right] : [])];
      const [y] = await runShader(transformShader(shape, false), operands, [rowCount, transformGroups(shape)], { reads: [1] });
      return { maxError: deviation(y!, transformed(shape, x, left, right)), tolerance: 2e-5 };
    },
  };
}

/** To 8 bits: nowhere further than half a level from the exact value. */
function quantizedCheck(shape: TransformShape): GpuCheck {
  return {
    name: `decode transform quantized ${nameOf(shape)}`,
    run: async () => {
      const { x, left, right } = operandsOf(shape);
      const quantizer = { bits: 8, symmetric: false, clipHigh: 1, clipLow: 1, outlierThreshold: null };
      const operands = [x, new Float32Array(x.length), left!, right!, quantizerWordsOf([quantizer])];
      const [y] = await runShader(transformShader(shape, true), operands, [rowCount, 1], { reads: [1], uniform: 4 });
      const exact = transformed(shape, x, left, right);
      const size = shape.rows * shape.columns;
      let maxError = 0;
      for (let start = 0; start < exact.length; start += size) {
        const row = exact.subarray(start, start + size);
        const level = (Math.max(...row) - Math.min(...row)) / 255;
        row.forEach((value, place) => {
          maxError = Math.max(maxError, Math.abs(value - y![start + place]!) / level);
        });
      }
      // Ends of the range may be half a level off the grid, for its zero point is a whole number.
      return { maxError, tolerance: 1.01 };
    },
  };
}

/** leftᵀ · X · right of every row. */
function transformed(
  { rows, columns }: TransformShape,
  x: Float32Array,
  left: Float32Array | null,
  right: Float32Array | null,
): Float64Array {
  const size = rows * columns;
  const y = Float64Array.from(x);
  for (let start = 0; start < y.length; start += size) {
    const part = y.subarray(start, start + size);
    if (right) {
      const before = part.slice();
      for (let place = 0; place < size; place++) {
        const [a, j] = [Math.floor(place / columns), place % columns];
        part[place] = 0;
        for (let c = 0; c < columns; c++) part[place]! += before[a * columns + c]! * right[c * columns + j]!;
      }
    }
    if (!left) continue;
    const before = part.slice();
    for (let place = 0; place < size; place++) {
      const [i, j] = [Math.floor(place / columns), place % columns];
      part[place] = 0;
      for (let a = 0; a < rows; a++) part[place]! += left[a * rows + i]! * before[a * columns + j]!;
    }
  }
  return y;
}

/** Queries and keys that lie at position 0, where rotation leaves them as they are. */
function headsCheck(): GpuCheck {
  const sizes = { heads: 2, kvHeads: 1, headDim: 128, qkNorm: false, rmsNormEps: 1e-6 };
  const { heads, kvHeads, headDim } = sizes;
  const cache: CacheShape = { keys: 'float32', values: 'float32', slots: 1, kvHeads, headDim, capacity: 1 };
  return {
    name: `decode append transformed, ${heads}/${kvHeads} × ${headDim}`,
    run: async () => {
      const qkv = normals((heads + 2 * kvHeads) * headDim, 54);
      const matrices = normals(2 * headDim ** 2, 55).map((value) => value / Math.sqrt(headDim));
      const half = new Float32Array(headDim / 2);
      const empty = () => new Float32Array(cacheBytes('float32', cache) / 4);
      const shader = appendShader(sizes, cache, {
        transformed: { queries: true, keys: true },
        quantized: { keys: false, values: false },
      });
      const operands = [qkv, Uint32Array.of(0, 0), half.map(() => 1), half, empty(), empty(), matrices];
      const [queries, keys] = await runShader(shader, operands, [heads + 2 * kvHeads, 1], { reads: [0, 4] });
      const product = (head: number, matrix: number, scale: number) =>
        Array.from({ length: headDim }, (_, j) => {
          let sum = 0;
          for (let k = 0; k < headDim; k++) sum += qkv[head * headDim + k]! * matrices[(matrix * headDim + k) * headDim + j]!;
          return sum * scale;
        });
      const scale = 1 / Math.sqrt(headDim);
      const expected = [...product(0, 0, scale), ...product(1, 0, scale), ...product(heads, 1, 1)];
      const actual = [...(queries as Float32Array).subarray(0, heads * headDim), ...(keys as Float32Array)];
      return { maxError: deviation(actual, expected), tolerance: 2e-5 };
    },
  };
}
