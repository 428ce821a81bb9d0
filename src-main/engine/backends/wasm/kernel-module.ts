/**
 * Our SIMD kernels, instantiated in the wasm backend's heap. All arguments are byte offsets and counts; `backends/wasm/kernels/*.ts` says what
 * each kernel does.
 */
import { RoundoffError } from '#contract/errors.ts';
import { kernelBinaryBase64 } from './kernels-binary.ts';
import { wasmBackend } from './memory.ts';

type Kernel = (...numbers: number[]) => void;
type Measure = (...numbers: number[]) => number;

export interface Kernels {
  attentionForward: Kernel;
  attentionBackward: Kernel;
  attentionScratch: Measure;
  crossEntropy: Measure;
  firstBadId: Measure;
  gatherRows: Kernel;
  scatterAddRows: Kernel;
  addTo: Kernel;
  addBias: Kernel;
  sumRows: Kernel;
  fakeQuantizeForward: Kernel;
  fakeQuantizeBackward: Kernel;
  adamW: Kernel;
  sumOfSquares: Measure;
  rmsNormForward: Kernel;
  rmsNormBackward: Kernel;
  rotate: Kernel;
  swigluForward: Kernel;
  swigluBackward: Kernel;
}

/** The part of the WebAssembly interface used here; Node's types leave it out. */
interface WebAssemblyApi {
  validate(bytes: Uint8Array): boolean;
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: { env: { memory: object } }) => { exports: unknown };
}

const { WebAssembly } = globalThis as unknown as { WebAssembly: WebAssemblyApi };
let instance: { memory: object; kernels: Kernels } | undefined;

/** The kernels on the active wasm backend's heap. @throws RoundoffError `internal` when another backend is active. */
export function kernels(): Kernels {
  const { memory } = wasmBackend().wasm.asm;
  if (instance?.memory !== memory) {
    const module = new WebAssembly.Module(binary());
    instance = { memory, kernels: new WebAssembly.Instance(module, { env: { memory } }).exports as Kernels };
  }
  return instance.kernels;
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
