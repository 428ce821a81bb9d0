/** The buffers of one decode engine, counted as they are made and freed together. */
import { RoundoffError } from '#contract/errors.ts';
import { gpu } from '../../backends/webgpu/device.ts';

export class Buffers {
  /** Of all buffers. */
  sizeBytes = 0;
  private readonly all: GPUBuffer[] = [];

  /** Zeros, to be bound as storage. @throws RoundoffError `out-of-memory` where the device makes no buffer of that size */
  storage(label: string, sizeBytes: number, usage = 0): GPUBuffer {
    const { device, name } = gpu();
    const size = allocatedBytes(sizeBytes);
    const { maxBufferSize } = device.limits;
    if (size > maxBufferSize) {
      throw new RoundoffError(
        'out-of-memory',
        `The ${label} of the decode engine take ${mebibytes(size)}; the GPU ${name} makes no buffer above ${mebibytes(maxBufferSize)}.`,
        'Use fewer slots or a smaller capacity.',
      );
    }
    const buffer = device.createBuffer({
      label,
      size,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC | usage,
    });
    this.sizeBytes += size;
    this.all.push(buffer);
    return buffer;
  }

  /** The same with a limit on what one kernel can read of it. */
  bound(label: string, sizeBytes: number): GPUBuffer {
    const { device, name } = gpu();
    const { maxStorageBufferBindingSize: most } = device.limits;
    if (sizeBytes > most) {
      throw new RoundoffError(
        'out-of-memory',
        `The ${label} of the decode engine take ${mebibytes(sizeBytes)}; the GPU ${name} reads at most ${mebibytes(most)} at once.`,
        'Use fewer slots or a smaller capacity.',
      );
    }
    return this.storage(label, sizeBytes);
  }

  filled(label: string, values: Float32Array | Uint32Array, usage = 0): GPUBuffer {
    const buffer = this.storage(label, values.byteLength, usage);
    gpu().device.queue.writeBuffer(buffer, 0, values as Float32Array<ArrayBuffer>);
    return buffer;
  }

  dispose(): void {
    for (const buffer of this.all) buffer.destroy();
    this.all.length = 0;
    this.sizeBytes = 0;
  }
}

/** Counts what buffers would take instead of making them: its own are placeholders. */
export class CountedBuffers extends Buffers {
  /** The largest that one kernel reads as a whole. */
  largestBoundBytes = 0;

  override storage(label: string, sizeBytes: number): GPUBuffer {
    const size = allocatedBytes(sizeBytes);
    this.sizeBytes += size;
    return { label, size } as GPUBuffer;
  }

  override bound(label: string, sizeBytes: number): GPUBuffer {
    this.largestBoundBytes = Math.max(this.largestBoundBytes, sizeBytes);
    return this.storage(label, sizeBytes);
  }

  override filled(label: string, { byteLength }: Float32Array | Uint32Array): GPUBuffer {
    return this.storage(label, byteLength);
  }
}

function allocatedBytes(sizeBytes: number): number {
  return Math.max(16, 4 * Math.ceil(sizeBytes / 4));
}

export function mebibytes(bytes: number): string {
  return `${Number((bytes / 2 ** 20).toPrecision(4))} MiB`;
}
