/**
 * What a transform is trained as. Each form turns its raw values into the transform P and its inverse transpose, and gradients in both
 * back into one in the raw values, all in double precision: tensor backends have no matrix inverse.
 * Source: FlatQuant (arXiv 2410.09426), section on efficient transforms, and its code (`Inv…` and `SVD…TransMatrix`).
 */
import { identity, inverse, product, transposed } from './small-matrix.ts';

export interface Transform {
  /** [n, n] for matrices, [n] for diagonals. */
  value: Float64Array;
  /** The inverse transpose; of a diagonal the reciprocals. */
  inverse: Float64Array;
}

export interface Parameterisation {
  /** Raw values at the start. */
  readonly initial: Float64Array;
  /** Length of the transform's values: n² or n. */
  readonly length: number;
  transform(raw: Float64Array): Transform;
  /** The gradient in `raw` of a loss with the gradients `dValue` and `dInverse` in what `transform(raw)` gave. */
  gradient(raw: Float64Array, now: Transform, dValue: Float64Array, dInverse: Float64Array): Float64Array;
}

/** A diagonal [n], trained as it is. */
export function diagonal(initial: Float64Array): Parameterisation {
  return {
    initial,
    length: initial.length,
    transform: (raw) => ({ value: raw.slice(), inverse: raw.map((value) => 1 / value) }),
    gradient: (_, { inverse }, dValue, dInverse) => dValue.map((value, i) => value - dInverse[i]! * inverse[i]! ** 2),
  };
}

/** A matrix [n, n], trained as it is and inverted: with Y = P⁻ᵀ, ∂L/∂P = ∂L/∂P|direct − Y · (∂L/∂Y)ᵀ · Y. */
export function direct(initial: Float64Array, size: number): Parameterisation {
  return {
    initial,
    length: size * size,
    transform: (raw) => ({ value: raw.slice(), inverse: transposed(inverse(raw, size), size) }),
    gradient(_, { inverse: y }, dValue, dInverse) {
      const through = product(product(y, transposed(dInverse, size), size), y, size);
      return dValue.map((value, i) => value - through[i]!);
    },
  };
}

/**
 * P = start · U · diag(s) · Vᵀ with U and V orthogonal by Cayley's map (I − A/2)⁻¹(I + A/2) of a skew-symmetric A, which is trained as its
 * entries below the diagonal. Raw values: those of U, those of V, s. It starts at the orthogonal matrix `start`, with U = V = I and s = 1.
 */
export function singularValues(start: Float64Array, size: number): Parameterisation {
  const half = (size * (size - 1)) / 2;
  const initial = new Float64Array(2 * half + size).fill(1, 2 * half);
  const parts = (raw: Float64Array) => {
    const [u, v] = [cayley(raw.subarray(0, half), size), cayley(raw.subarray(half, 2 * half), size)];
    return { u, v, s: raw.subarray(2 * half) };
  };
  return {
    initial,
    length: size * size,
    transform(raw) {
      const { u, v, s } = parts(raw);
      const outer = product(start, u.matrix, size);
      const inner = transposed(v.matrix, size);
      const reciprocals = s.map((value) => 1 / value);
      const value = product(scaleColumns(outer, s), inner, size);
      return { value, inverse: product(scaleColumns(outer, reciprocals), inner, size) };
    },
    gradient(raw, _, dValue, dInverse) {
      const { u, v, s } = parts(raw);
      const reciprocals = s.map((value) => 1 / value);
      const startT = transposed(start, size);
      const direct = product(startT, dValue, size);
      const inverted = product(startT, dInverse, size);
      const side = (gradients: Float64Array[], other: Float64Array) => {
        const [a, b] = gradients.map((gradient) => product(gradient, other, size)) as [Float64Array, Float64Array];
        return scaleColumns(a, s).map((value, i) => value + b[i]! * reciprocals[i % size]!);
      };
      const dU = side([direct, inverted], v.matrix);
      const dV = side([transposed(direct, size), transposed(inverted, size)], u.matrix);
      const uT = transposed(u.matrix, size);
      const [dDirect, dInverted] = [direct, inverted].map((g) => product(product(uT, g, size), v.matrix, size)) as [
        Float64Array,
        Float64Array,
      ];
      const result = new Float64Array(raw.length);
      result.set(cayleyGradient(u, dU, size));
      result.set(cayleyGradient(v, dV, size), half);
      for (let i = 0; i < size; i++) {
        const place = i * size + i;
        result[2 * half + i] = dDirect[place]! - dInverted[place]! * reciprocals[i]! ** 2;
      }
      return result;
    },
  };
}

interface Cayley {
  matrix: Float64Array;
  /** (I − A/2)⁻¹ */
  resolvent: Float64Array;
}

function cayley(below: Float64Array, size: number): Cayley {
  const minus = identity(size);
  const plus = identity(size);
  for (let i = 0, k = 0; i < size; i++) {
    for (let j = 0; j < i; j++, k++) {
      const entry = below[k]! / 2;
      minus[i * size + j] = -entry;
      minus[j * size + i] = entry;
      plus[i * size + j] = entry;
      plus[j * size + i] = -entry;
    }
  }
  const resolvent = inverse(minus, size);
  return { matrix: product(resolvent, plus, size), resolvent };
}

/** dA = ½ (I − A/2)⁻ᵀ · dU · (I + U)ᵀ, gathered into the entries below the diagonal. */
function cayleyGradient({ matrix, resolvent }: Cayley, gradient: Float64Array, size: number): Float64Array {
  const shifted = matrix.slice();
  for (let i = 0; i < size; i++) shifted[i * size + i]! += 1;
  const full = product(product(transposed(resolvent, size), gradient, size), transposed(shifted, size), size);
  const below = new Float64Array((size * (size - 1)) / 2);
  for (let i = 0, k = 0; i < size; i++) {
    for (let j = 0; j < i; j++, k++) below[k] = (full[i * size + j]! - full[j * size + i]!) / 2;
  }
  return below;
}

function scaleColumns(a: Float64Array, factors: Float64Array): Float64Array {
  return a.map((value, i) => value * factors[i % factors.length]!);
}
