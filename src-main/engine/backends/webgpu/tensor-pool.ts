/** The tensor library's pool of buffers, which grows with every new size and never shrinks by itself (tfjs-backend-webgpu 4.22.0). */
import { flush } from './compute.ts';
import { type GpuMemory, isHostBuffer } from './memory.ts';

/** What we use of its buffer manager. */
interface BufferManager {
  /** By size and usage. */
  freeBuffers: Map<string, GPUBuffer[]>;
  numFreeBuffers: number;
  numBytesAllocated: number;
  acquireBuffer(...values: unknown[]): GPUBuffer;
  releaseBuffer(buffer: GPUBuffer, reuse?: boolean): void;
}

/** Lets the memory's accounting see which of the pool's buffers are in use, and give back the others. */
export function shareTensorPool(backend: object, memory: GpuMemory): void {
  const { bufferManager } = backend as { bufferManager: BufferManager };
  let unusedBytes = 0;
  let trims = 0;
  const acquire = bufferManager.acquireBuffer.bind(bufferManager);
  bufferManager.acquireBuffer = (...values) => {
    const [free, trimsBefore] = [bufferManager.numFreeBuffers, trims];
    const buffer = acquire(...values);
    if (trims === trimsBefore && bufferManager.numFreeBuffers < free) unusedBytes -= deviceBytes(buffer);
    memory.notePeak();
    return buffer;
  };
  const release = bufferManager.releaseBuffer.bind(bufferManager);
  bufferManager.releaseBuffer = (buffer, reuse = true) => {
    release(buffer, reuse);
    if (reuse) unusedBytes += deviceBytes(buffer);
  };
  memory.usePool({
    unusedBytes: () => unusedBytes,
    trim: () => {
      // Buffers of disposed tensors return to the pool once the commands that read them are submitted.
      flush();
      for (const buffers of bufferManager.freeBuffers.values()) {
        for (const buffer of buffers.splice(0)) {
          bufferManager.numBytesAllocated -= buffer.size;
          bufferManager.numFreeBuffers--;
          buffer.destroy();
        }
      }
      unusedBytes = 0;
      trims++;
    },
  });
}

function deviceBytes(buffer: GPUBuffer): number {
  return isHostBuffer(buffer.usage) ? 0 : buffer.size;
}
