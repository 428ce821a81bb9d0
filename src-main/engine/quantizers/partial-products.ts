/**
 * How much changes of the weights of one group of inputs change what the group adds to the outputs, on given tokens: Σ(x·δ)² for many δ at
 * once, in float64. A group narrower than the number of tokens goes through its Gram matrix XᵀX, a wider one through X itself.
 */
import { assignProduct, deepest, subtractProduct } from './double-gemm.ts';

export class GroupInputs {
  private readonly tokens: number;
  private readonly size: number;
  /** XᵀX [size, size]; null for wide groups. */
  private readonly gram: Float64Array | null;
  /** X by columns, in pieces [tokens, at most `deepest`]; empty for narrow groups. */
  private readonly pieces: Float64Array[] = [];
  private product = new Float64Array(0);

  /** @param inputs [tokens, inFeatures], of which the columns start … start + size − 1 are read */
  constructor(inputs: Float32Array, inFeatures: number, start: number, size: number) {
    this.tokens = inputs.length / inFeatures;
    this.size = size;
    if (size <= deepest) {
      this.gram = gramMatrix(inputs, inFeatures, start, size);
      return;
    }
    this.gram = null;
    for (let first = 0; first < size; first += deepest) {
      const width = Math.min(deepest, size - first);
      this.pieces.push(columns(inputs, { rows: this.tokens, stride: inFeatures, first: start + first, width }));
    }
  }

  /** Σ over tokens of (x·δ)² for the first `rows` rows δ of `delta` [rows, size]. */
  squaredOutputs(delta: Float64Array, rows: number): Float64Array {
    return this.gram ? this.throughGram(delta, rows, this.gram) : this.throughInputs(delta, rows);
  }

  private throughGram(delta: Float64Array, rows: number, gram: Float64Array): Float64Array {
    const { size } = this;
    const product = this.scratch(rows * size);
    assignProduct(product, { a: delta, b: gram, rows, columns: size, depth: size });
    const sums = new Float64Array(rows);
    for (let row = 0, at = 0; row < rows; row++) {
      let sum = 0;
      for (let i = 0; i < size; i++, at++) sum += product[at]! * delta[at]!;
      sums[row] = Math.max(0, sum);
    }
    return sums;
  }

  private throughInputs(delta: Float64Array, rows: number): Float64Array {
    const { size, tokens } = this;
    const product = this.scratch(rows * tokens).fill(0, 0, rows * tokens);
    for (const [piece, values] of this.pieces.entries()) {
      const width = values.length / tokens;
      const part = columns(delta, { rows, stride: size, first: piece * deepest, width });
      subtractProduct(product, { a: part, b: values, rows, columns: tokens, depth: width, transB: true });
    }
    const sums = new Float64Array(rows);
    for (let row = 0, at = 0; row < rows; row++) {
      let sum = 0;
      for (let token = 0; token < tokens; token++, at++) sum += product[at]! * product[at]!;
      sums[row] = sum;
    }
    return sums;
  }

  private scratch(length: number): Float64Array {
    if (this.product.length < length) this.product = new Float64Array(length);
    return this.product;
  }
}

function gramMatrix(inputs: Float32Array, inFeatures: number, start: number, size: number): Float64Array {
  const tokens = inputs.length / inFeatures;
  const negative = new Float64Array(size * size);
  for (let first = 0; first < tokens; first += deepest) {
    const rows = Math.min(deepest, tokens - first);
    const part = columns(inputs.subarray(first * inFeatures), { rows, stride: inFeatures, first: start, width: size });
    subtractProduct(negative, { a: part, b: part, rows: size, columns: size, depth: rows, transA: true });
  }
  return negative.map((value) => -value);
}

/** A dense float64 copy of some columns of the first rows of a matrix. */
function columns(
  matrix: Float32Array | Float64Array,
  { rows, stride, first, width }: { rows: number; stride: number; first: number; width: number },
): Float64Array {
  const copy = new Float64Array(rows * width);
  for (let row = 0; row < rows; row++) copy.set(matrix.subarray(row * stride + first, row * stride + first + width), row * width);
  return copy;
}
