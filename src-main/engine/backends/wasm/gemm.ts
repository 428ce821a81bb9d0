/**
 * Matrix products by ONNX Runtime's native GEMM (MLAS), in place on the wasm heap. About 100 times the stock wasm matmul where an operand is
 * transposed. Row i of a product depends on row i of A alone, bit for bit, however many rows A has: MLAS rounds differently for a single
 * row and where it cuts N between threads, so those cases are padded or kept on one thread.
 */
import { availableParallelism } from 'node:os';
import { allocate, floatsAt, heapBuffer, release } from './memory.ts';
import { singleNodeModel } from './onnx-model.ts';
import { type NativePointer, onnxRuntime } from './onnx-runtime.ts';

/** C[m,n] (+)= op(A)·op(B) at byte offsets of the wasm heap, all dense and row-major. */
export interface Gemm {
  a: number;
  b: number;
  c: number;
  m: number;
  n: number;
  k: number;
  /** A is stored [k,m]. */
  transA?: boolean;
  /** B is stored [n,k], as linear weights are. */
  transB?: boolean;
  /** Add to what C holds instead of overwriting it. */
  accumulate?: boolean;
}

/** The same product for `batch` consecutive matrices of A, B and C, times `alpha`. */
export interface BatchedGemm extends Omit<Gemm, 'accumulate'> {
  batch: number;
  alpha?: number;
}

interface Session {
  pointer: NativePointer;
  inputNames: BigUint64Array;
  outputNames: BigUint64Array;
  inputs: BigUint64Array;
}

const threads = Math.max(1, Math.min(16, availableParallelism()));
/** MLAS covers K in steps of at least this, and only narrow slices of N make it choose longer steps. */
const smallestKStep = 128;
const narrowSlice = 80;
const maxCachedTensors = 4096;
const operandsPerCall = 3;

interface CachedTensor {
  batch: number;
  rows: number;
  columns: number;
  pointer: NativePointer;
}

const plainSessions = new Map<number, Session>();
const batchedSessions = new Map<string, Session>();
/** By byte offset; few shapes meet at one place. */
const tensors = new Map<number, CachedTensor[]>();
let tensorCount = 0;
let boundBuffer: SharedArrayBuffer | undefined;
let heapAddress = 0n;
/** Padded operands: of a single row, and of a single column. A 1 × 1 product uses both. */
const scratch = { row: { offset: 0, sizeBytes: 0 }, column: { offset: 0, sizeBytes: 0 } };
const outputs = new BigUint64Array(1);

export function gemm(product: Gemm): void {
  const { a, b, c, m, n, k, transA = false, transB = false, accumulate = false } = product;
  if (m === 0 || n === 0) return;
  bindHeap();
  if (k === 0) {
    if (!accumulate) floatsAt(c, m * n).fill(0);
    return;
  }
  if (m === 1) {
    singleRow(product);
    return;
  }
  if (n === 1) {
    singleColumn(product);
    return;
  }
  const session = plainSession(transA, transB, accumulate, threadsFor(m, n, k));
  session.inputs[0] = tensor(a, transA ? k : m, transA ? m : k);
  session.inputs[1] = tensor(b, transB ? n : k, transB ? k : n);
  outputs[0] = tensor(c, m, n);
  if (accumulate) session.inputs[2] = outputs[0];
  onnxRuntime().run(session.pointer, session.inputNames, session.inputs, session.outputNames, outputs);
}

export function batchedGemm(product: BatchedGemm): void {
  const { a, b, c, m, n, k, batch, transA = false, transB = false, alpha = 1 } = product;
  if (m === 0 || n === 0 || batch === 0) return;
  bindHeap();
  if (k === 0) {
    floatsAt(c, batch * m * n).fill(0);
    return;
  }
  const count = batch >= threads ? threads : threadsFor(m, n, k);
  const session = batchedSession(transA, transB, alpha, count);
  session.inputs[0] = tensor(a, transA ? k : m, transA ? m : k, batch);
  session.inputs[1] = tensor(b, transB ? n : k, transB ? k : n, batch);
  outputs[0] = tensor(c, m, n, batch);
  onnxRuntime().run(session.pointer, session.inputNames, session.inputs, session.outputNames, outputs);
}

/** One row runs as two, because MLAS has a path of its own, with other rounding, for a single one. */
function singleRow(product: Gemm): void {
  const { a, c, n, k, accumulate } = product;
  const offset = scratchFor('row', 8 * (k + n));
  const rows = floatsAt(offset, 2 * (k + n));
  const row = floatsAt(a, k);
  const result = floatsAt(c, n);
  if (product.transA) for (let i = 0; i < k; i++) rows[2 * i] = rows[2 * i + 1] = row[i]!;
  else {
    rows.set(row, 0);
    rows.set(row, k);
  }
  if (accumulate) {
    rows.set(result, 2 * k);
    rows.set(result, 2 * k + n);
  }
  gemm({ ...product, m: 2, a: offset, c: offset + 8 * k });
  const padded = floatsAt(offset + 8 * k, n);
  floatsAt(c, n).set(padded);
}

/** One column runs as two, for the same reason. */
function singleColumn(product: Gemm): void {
  const { b, c, m, k, accumulate } = product;
  const offset = scratchFor('column', 8 * (k + m));
  const columns = floatsAt(offset, 2 * (k + m));
  const column = floatsAt(b, k);
  const result = floatsAt(c, m);
  for (let i = 0; i < k; i++) {
    columns[product.transB ? i : 2 * i] = column[i]!;
    columns[product.transB ? k + i : 2 * i + 1] = column[i]!;
  }
  if (accumulate) for (let i = 0; i < m; i++) columns[2 * k + 2 * i] = columns[2 * k + 2 * i + 1] = result[i]!;
  gemm({ ...product, n: 2, b: offset, c: offset + 8 * k });
  const padded = floatsAt(offset + 8 * k, 2 * m);
  const target = floatsAt(c, m);
  for (let i = 0; i < m; i++) target[i] = padded[2 * i]!;
}

function scratchFor(purpose: keyof typeof scratch, sizeBytes: number): number {
  const current = scratch[purpose];
  if (current.sizeBytes < sizeBytes) {
    if (current.offset !== 0) release(current.offset);
    scratch[purpose] = { offset: allocate(sizeBytes), sizeBytes };
  }
  return scratch[purpose].offset;
}

/**
 * MLAS cuts M when m ≥ n, else N. Cutting M never changes rounding unless a slice is one row; cutting N does when slices get narrow
 * and k needs several steps.
 */
function threadsFor(m: number, n: number, k: number): number {
  if (threads === 1) return 1;
  const safe = m >= n ? m >= 4 * threads : k <= smallestKStep || n > narrowSlice * threads;
  return safe ? threads : 1;
}

function plainSession(transA: boolean, transB: boolean, accumulate: boolean, count: number): Session {
  const key = Number(transA) + 2 * Number(transB) + 4 * Number(accumulate) + 8 * count;
  let session = plainSessions.get(key);
  if (!session) {
    const inputs = accumulate ? ['a', 'b', 'c'] : ['a', 'b'];
    const infos = inputs.map((name) => ({ name, dims: [`${name}0`, `${name}1`] }));
    const ints = { transA: Number(transA), transB: Number(transB) };
    const node = { op: 'Gemm', inputs, outputs: ['y'], ints, floats: { alpha: 1, beta: accumulate ? 1 : 0 } };
    session = createSession(singleNodeModel(node, infos, [{ name: 'y', dims: ['y0', 'y1'] }]), inputs, count);
    plainSessions.set(key, session);
  }
  return session;
}

function batchedSession(transA: boolean, transB: boolean, alpha: number, count: number): Session {
  const key = `${transA} ${transB} ${alpha} ${count}`;
  let session = batchedSessions.get(key);
  if (!session) {
    const inputs = ['a', 'b'];
    const infos = inputs.map((name) => ({ name, dims: [`${name}0`, `${name}1`, `${name}2`] }));
    const ints = { transA: Number(transA), transB: Number(transB) };
    const node = { op: 'FusedMatMul', domain: 'com.microsoft', inputs, outputs: ['y'], ints, floats: { alpha } };
    session = createSession(singleNodeModel(node, infos, [{ name: 'y', dims: ['y0', 'y1', 'y2'] }]), inputs, count);
    batchedSessions.set(key, session);
  }
  return session;
}

function createSession(model: Uint8Array, inputs: string[], count: number): Session {
  const runtime = onnxRuntime();
  return {
    pointer: runtime.createSession(model, count),
    inputNames: runtime.createNames(inputs),
    outputNames: runtime.createNames(['y']),
    inputs: new BigUint64Array(inputs.length),
  };
}

/** C-API tensors are kept by place and shape: training steps and decode loops meet the same ones over and over. `batch` 0 means a matrix. */
function tensor(offset: number, rows: number, columns: number, batch = 0): NativePointer {
  let here = tensors.get(offset);
  const known = here?.find((cached) => cached.rows === rows && cached.columns === columns && cached.batch === batch);
  if (known) return known.pointer;
  if (!here) {
    here = [];
    tensors.set(offset, here);
  }
  const dims = batch === 0 ? [rows, columns] : [batch, rows, columns];
  const pointer = onnxRuntime().createTensor(heapAddress + BigInt(offset), 4 * rows * columns * (batch || 1), dims);
  here.push({ batch, rows, columns, pointer });
  tensorCount++;
  return pointer;
}

/** Finds the heap's address anew after it grew or the backend was created again. V8 grows a memory in place, so this rarely drops anything. */
function bindHeap(): void {
  // Before the operands of a call are looked up, because dropping frees the ones already found.
  if (tensorCount + operandsPerCall > maxCachedTensors) dropTensors();
  const buffer = heapBuffer();
  if (buffer === boundBuffer) return;
  const runtime = onnxRuntime();
  const probe = runtime.createTensor(new Uint8Array(buffer), 4, [1]);
  const address = runtime.dataAddress(probe);
  runtime.releaseTensor(probe);
  if (address !== heapAddress) {
    dropTensors();
    heapAddress = address;
    scratch.row = { offset: 0, sizeBytes: 0 };
    scratch.column = { offset: 0, sizeBytes: 0 };
  }
  boundBuffer = buffer;
}

function dropTensors(): void {
  for (const here of tensors.values()) for (const { pointer } of here) onnxRuntime().releaseTensor(pointer);
  tensors.clear();
  tensorCount = 0;
}
