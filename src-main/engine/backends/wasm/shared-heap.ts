/**
 * Lets the wasm backend start on a memory that threads can share. Its module declares a memory of its own with a maximum; WebAssembly asks
 * for nothing more than one flag to make such a memory shared, so that flag is set in the module's bytes as it is instantiated.
 */
import { RoundoffError } from '#contract/errors.ts';

type Bytes = ArrayBuffer | Uint8Array;
type Instantiate = (source: Bytes, imports?: object) => Promise<unknown>;

const memorySection = 5;
const hasMaximum = 1;
const sharedWithMaximum = 3;

/** Runs `start` with the next module it instantiates given a shared memory. */
export async function withSharedMemory<T>(start: () => Promise<T>): Promise<T> {
  const api = (globalThis as unknown as { WebAssembly: { instantiate: Instantiate } }).WebAssembly;
  const original = api.instantiate;
  api.instantiate = (source, imports) => original(shareMemory(source), imports);
  try {
    return await start();
  } finally {
    api.instantiate = original;
  }
}

/** A copy of a module whose one memory is declared shared. @throws RoundoffError `backend-unavailable` when it declares none with a maximum. */
export function shareMemory(source: Bytes): Uint8Array {
  const module = new Uint8Array(source).slice();
  const limits = memoryLimits(module);
  if (limits === null || module[limits] !== hasMaximum) {
    const message = 'the WebAssembly backend declares its memory in an unknown way';
    throw new RoundoffError('backend-unavailable', message, 'Reinstall with `npm ci`, which brings the version this was made for.');
  }
  module[limits] = sharedWithMaximum;
  return module;
}

/** Place of the flags byte of the first declared memory. */
function memoryLimits(module: Uint8Array): number | null {
  let at = 8;
  const unsigned = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = module[at++]!;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  while (at < module.length) {
    const id = module[at++];
    const end = unsigned() + at;
    if (id === memorySection) {
      const count = unsigned();
      return count === 1 ? at : null;
    }
    at = end;
  }
  return null;
}
