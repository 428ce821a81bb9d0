/**
 * Our SIMD kernels, instantiated in the wasm backend's heap. All arguments are byte offsets and counts; `backends/wasm/kernels/*.ts` says what
 * each kernel does.
 */
import { RoundoffError } from '#contract/errors.ts';
import { KernelThreads } from './kernel-threads.ts';
import { kernelBinaryBase64 } from './kernels-binary.ts';
import { wasmBackend } from './memory.ts';

type Kernel = (...numbers: number[]) => void;
type Measure = (...numbers: number[]) => number;

/** Kernels called on this thread alone. */
export interface Kernels {
  attentionScratch: Measure;
  firstBadId: Measure;
  gatherRows: Kernel;
  scatterAddRows: Kernel;
  addTo: Kernel;
  addBias: Kernel;
  sumRows: Kernel;
  fakeQuantizeForward: Kernel;
  fakeQuantizeBackward: Kernel;
  sumOfSquares: Measure;
  rmsNormBlockRows: { value: number };
  kroneckerBlockRows: { value: number };
  kroneckerGradients: Measure;
  kroneckerScratch: Measure;
}

/** Kernels that take (thread, from, to, …) and are spread over the cores. */
export type ParallelKernel =
  | 'adamW'
  | 'attentionBackward'
  | 'attentionForward'
  | 'clampRowsBackward'
  | 'clampRowsForward'
  | 'clippedQuantizeBackward'
  | 'clippedQuantizeForward'
  | 'crossEntropy'
  | 'dequantizeInteger'
  | 'dequantizeNf4'
  | 'divergence'
  | 'divergenceTop'
  | 'dropout'
  | 'kroneckerBackward'
  | 'kroneckerForward'
  | 'policy'
  | 'quantizeTokens'
  | 'quantizeTokensBackward'
  | 'rmsNormBackward'
  | 'rmsNormForward'
  | 'rotate'
  | 'swigluBackward'
  | 'swigluForward';

/** The part of the WebAssembly interface used here; Node's types leave it out. */
interface WebAssemblyApi {
  validate(bytes: Uint8Array): boolean;
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: { env: { memory: object } }) => { exports: unknown };
}

const { WebAssembly } = globalThis as unknown as { WebAssembly: WebAssemblyApi };
let instance: { memory: object; kernels: Kernels; threads: KernelThreads | undefined } | undefined;

/** The kernels on the active wasm backend's heap. @throws RoundoffError `internal` when another backend is active. */
export function kernels(): Kernels {
  return current().kernels;
}

/**
 * Runs a kernel over `items`, on as many cores as there are chunks for. A chunk should be worth some tens of microseconds.
 * @param parameters what follows (thread, from, to)
 */
export function runParallel(kernel: ParallelKernel, items: number, itemsPerChunk: number, parameters: number[]): void {
  const here = current();
  if (items <= itemsPerChunk) {
    if (items > 0) (here.kernels as unknown as Record<string, Kernel>)[kernel]!(0, 0, items, ...parameters);
    return;
  }
  here.threads ??= new KernelThreads(binary(), here.memory, here.kernels as unknown as Record<string, Kernel>);
  here.threads.run(kernel, items, itemsPerChunk, parameters);
}

function current(): { memory: object; kernels: Kernels; threads: KernelThreads | undefined } {
  const { memory } = wasmBackend().wasm.asm;
  if (instance?.memory !== memory) {
    const module = new WebAssembly.Module(binary());
    instance = { memory, kernels: new WebAssembly.Instance(module, { env: { memory } }).exports as Kernels, threads: undefined };
  }
  return instance;
}

/** @throws RoundoffError `backend-unavailable` when this JavaScript engine cannot run the kernels. */
export function requireKernelSupport(): void {
  if (WebAssembly.validate(binary())) return;
  throw new RoundoffError(
    'backend-unavailable',
    `this Node (${process.version}) lacks WebAssembly's relaxed SIMD`,
    'Start Roundoff with the Node it brings along (`npm start`, `npm run roundoff`).',
  );
}

function binary(): Uint8Array {
  return Buffer.from(kernelBinaryBase64, 'base64');
}
