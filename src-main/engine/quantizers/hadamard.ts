/**
 * Hadamard matrices: Sylvester's for powers of two, Paley's two constructions for 12, 20, 28, 36, 60, 76, 108, 140 and more, and their
 * Kronecker products with Sylvester's. As two dense normalised factors they are what QuaRot multiplies by offline and online.
 */

/** ±1 entries, row-major [size, size]; H·Hᵀ = size · I. */
export interface Hadamard {
  size: number;
  values: Float64Array;
}

/** An orthogonal Hadamard matrix left ⊗ right, each factor divided by the root of its size. */
export interface HadamardFactors {
  rows: number;
  columns: number;
  /** [rows, rows] */
  left: Float64Array;
  /** [columns, columns] */
  right: Float64Array;
}

/** Equal blocks on the diagonal, each a Hadamard matrix, as left ⊗ right. */
export interface BlockFactors {
  blocks: number;
  rows: number;
  columns: number;
  /** [rows, rows]; null for the identity. */
  left: Float64Array | null;
  /** [columns, columns] */
  right: Float64Array;
}

/** A Paley matrix is a dense factor; beyond this it would cost more than it spreads (11008 = 2 · 5504 would need one of 5504). */
const largestPaley = 1024;

/** The smallest order, 1 or one of Paley's, from which size is reached by doubling; null when none is known. */
export function hadamardOrder(size: number): number | null {
  if (!Number.isSafeInteger(size) || size < 1) return null;
  let odd = size;
  while (odd % 2 === 0) odd /= 2;
  if (odd === 1) return 1;
  for (let order = 4 * odd; order <= largestPaley && size % order === 0; order *= 2) if (paleyKind(order)) return order;
  return null;
}

/** A Hadamard matrix of `size`. Throws for a size `hadamardOrder` knows none of. */
export function hadamardMatrix(size: number): Hadamard {
  const order = hadamardOrder(size);
  if (order === null) throw new RangeError(`no Hadamard matrix of size ${size} is known here`);
  return order === 1 ? sylvester(size) : product(paley(order), sylvester(size / order));
}

/** Two factors whose sizes are as close as they can be, so that multiplying by both is cheap. Null for sizes without a known matrix. */
export function hadamardFactors(size: number): HadamardFactors | null {
  const order = hadamardOrder(size);
  return order === null ? null : split(size, order, 1);
}

/** The largest blocks of which a Hadamard matrix is known; null for odd sizes, which have none but 1. */
export function blockHadamardFactors(size: number): BlockFactors | null {
  for (let blocks = 1; blocks <= size / 2; blocks++) {
    if (size % blocks !== 0) continue;
    const order = hadamardOrder(size / blocks);
    if (order === null) continue;
    const { rows, columns, left, right } = split(size / blocks, order, blocks);
    return { blocks, rows: blocks * rows, columns, left: onDiagonal(left, rows, blocks), right };
  }
  return null;
}

/** Factors of a matrix of `size`, chosen so that `blocks` · rows and columns are alike. */
function split(size: number, order: number, blocks: number): HadamardFactors {
  const cost = (rows: number) => blocks * rows + size / rows;
  let rows = order;
  while (size % (2 * rows) === 0 && cost(2 * rows) <= cost(rows)) rows *= 2;
  const columns = size / rows;
  const left = order === 1 ? sylvester(rows) : product(paley(order), sylvester(rows / order));
  return { rows, columns, left: normalized(left), right: normalized(sylvester(columns)) };
}

/** I ⊗ matrix. */
function onDiagonal(matrix: Float64Array, size: number, blocks: number): Float64Array | null {
  if (blocks === 1) return matrix;
  if (size === 1) return null;
  const width = blocks * size;
  const values = new Float64Array(width * width);
  for (let row = 0; row < width; row++) {
    const block = Math.floor(row / size);
    const within = (row % size) * size;
    values.set(matrix.subarray(within, within + size), row * width + block * size);
  }
  return values;
}

function normalized({ size, values }: Hadamard): Float64Array {
  return values.map((value) => value / Math.sqrt(size));
}

function sylvester(size: number): Hadamard {
  const values = new Float64Array(size * size);
  for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) values[i * size + j] = parity(i & j) ? -1 : 1;
  return { size, values };
}

/** Whether an odd number of bits is set. */
function parity(bits: number): boolean {
  let odd = false;
  for (let rest = bits; rest > 0; rest &= rest - 1) odd = !odd;
  return odd;
}

function product(a: Hadamard, b: Hadamard): Hadamard {
  const size = a.size * b.size;
  const values = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      const outer = a.values[Math.floor(i / b.size) * a.size + Math.floor(j / b.size)]!;
      values[i * size + j] = outer * b.values[(i % b.size) * b.size + (j % b.size)]!;
    }
  }
  return { size, values };
}

/** I: order q + 1 for a prime q ≡ 3 (mod 4); II: order 2q + 2 for a prime q ≡ 1 (mod 4). */
function paleyKind(order: number): 'I' | 'II' | null {
  if (isPrime(order - 1) && (order - 1) % 4 === 3) return 'I';
  return isPrime(order / 2 - 1) && (order / 2 - 1) % 4 === 1 ? 'II' : null;
}

function paley(order: number): Hadamard {
  return paleyKind(order) === 'I' ? paleyOne(order) : paleyTwo(order);
}

/** I + S with S the skew matrix of quadratic residues, bordered. */
function paleyOne(size: number): Hadamard {
  const character = residueCharacter(size - 1);
  const values = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      const skew = i === 0 ? (j === 0 ? 0 : 1) : j === 0 ? -1 : character(i - j);
      values[i * size + j] = skew + (i === j ? 1 : 0);
    }
  }
  return { size, values };
}

/** C ⊗ [1 1; 1 −1] + I ⊗ [1 −1; −1 −1] with C the symmetric conference matrix of quadratic residues. */
function paleyTwo(size: number): Hadamard {
  const half = size / 2;
  const character = residueCharacter(half - 1);
  const values = new Float64Array(size * size);
  const conference = (i: number, j: number) => (i === j ? 0 : i === 0 || j === 0 ? 1 : character(i - j));
  const inner = [1, 1, 1, -1];
  const diagonal = [1, -1, -1, -1];
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      const [a, b] = [i >> 1, j >> 1];
      const within = (i & 1) * 2 + (j & 1);
      values[i * size + j] = a === b ? diagonal[within]! : conference(a, b) * inner[within]!;
    }
  }
  return { size, values };
}

/** Of a prime: 1 for differences that are squares, −1 for others, 0 for 0. */
function residueCharacter(prime: number): (difference: number) => number {
  const table = new Int8Array(prime).fill(-1);
  table[0] = 0;
  for (let i = 1; i < prime; i++) table[(i * i) % prime] = 1;
  return (difference) => table[((difference % prime) + prime) % prime]!;
}

function isPrime(value: number): boolean {
  if (!Number.isInteger(value) || value < 2) return false;
  for (let divisor = 2; divisor * divisor <= value; divisor++) if (value % divisor === 0) return false;
  return true;
}
