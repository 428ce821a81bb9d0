/** Deterministic small matrices for the quantizer tests. */

/** Normal numbers from a fixed linear congruential sequence. */
export function normals(count: number, seed: number): Float64Array {
  let state = (seed * 2654435761 + 12345) >>> 0;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return Float64Array.from({ length: count }, () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
}

/** Correlated inputs [rows, n]: independent normals through a random mixing matrix, with a few strong directions. */
export function correlatedInputs(rows: number, n: number, seed: number): Float64Array {
  const source = normals(rows * n, seed);
  const mixing = normals(n * n, seed + 1);
  const inputs = new Float64Array(rows * n);
  for (let row = 0; row < rows; row++) {
    for (let k = 0; k < n; k++) {
      const value = (source[row * n + k]! * 3) / (1 + k);
      for (let j = 0; j < n; j++) inputs[row * n + j]! += value * (mixing[k * n + j]! + (j === k ? 2 : 0));
    }
  }
  return inputs;
}

/** (2/rows)·XᵀX of X [rows, n]. */
export function hessianOf(inputs: ArrayLike<number>, n: number): Float64Array {
  const rows = inputs.length / n;
  const hessian = new Float64Array(n * n);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < n; i++) {
      const value = (2 / rows) * inputs[row * n + i]!;
      for (let j = 0; j < n; j++) hessian[i * n + j]! += value * inputs[row * n + j]!;
    }
  }
  return hessian;
}

/** Mean over rows of X and outputs of (X·(W − Q)ᵀ)². */
export function outputErrorOf(inputs: ArrayLike<number>, weight: ArrayLike<number>, quantized: ArrayLike<number>, n: number): number {
  const rows = inputs.length / n;
  const outputs = weight.length / n;
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    for (let out = 0; out < outputs; out++) {
      let difference = 0;
      for (let k = 0; k < n; k++) difference += inputs[row * n + k]! * (weight[out * n + k]! - quantized[out * n + k]!);
      sum += difference * difference;
    }
  }
  return sum / (rows * outputs);
}
