/** Scratch on the wasm heap that kernels use during one call, kept between calls and grown on demand. */
import { allocate, release, wasmBackend } from './memory.ts';

let owner: unknown;
let offset = 0;
let capacityBytes = 0;

/** Byte offset of at least `sizeBytes` of scratch, 64-byte aligned. Its contents last until the next call of this function. */
export function workspace(sizeBytes: number): number {
  const { memory } = wasmBackend().wasm.asm;
  if (owner !== memory) {
    owner = memory;
    capacityBytes = 0;
  }
  if (capacityBytes < sizeBytes) {
    if (capacityBytes > 0) release(offset);
    offset = allocate(sizeBytes + 64);
    capacityBytes = sizeBytes;
  }
  return Math.ceil(offset / 64) * 64;
}
