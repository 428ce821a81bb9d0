/**
 * A product on buffers of its own, to measure and prove kernels with. Operands are eighths between −1 and 1, so that any kernel's sums are
 * exact in f32 in whatever order and any that is right leaves the same C.
 */

import { encodeBfloats, encodeHalves } from '../../../formats/float16.ts';
import { flush } from '../compute.ts';
import { gpu } from '../device.ts';
import { type ElementType, spanOf } from './operands.ts';
import type { Product } from './product.ts';

export interface Trial {
  product: Product;
  /** Forgets what C holds. */
  clear(): void;
  /** What C holds. */
  result(): Promise<Float32Array>;
  destroy(): void;
}

/** Like `product`, no side longer than `largestSide` (up to 2,048), B stored as `typeB`. */
export function trialOf(product: Product, typeB: ElementType, largestSide: number): Trial {
  const { device, health } = gpu();
  const [m, n, k] = [product.m, product.n, product.k].map((side) => Math.min(side, largestSide)) as [number, number, number];
  const size = 4 * m * n;
  const a = filled(m * k, product.a.type, 5);
  const b = filled(n * k, typeB, 7);
  const c = device.createBuffer({ size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST });
  const read = device.createBuffer({ size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  const { transA, transB } = product;
  const once = { count: 1, strideA: 0, strideB: 0, strideC: 0 };
  const record = (work: (encoder: GPUCommandEncoder) => void) => {
    flush();
    const encoder = device.createCommandEncoder();
    work(encoder);
    device.queue.submit([encoder.finish()]);
  };
  return {
    product: {
      ...product,
      ...{ m, n, k, bias: null, accumulate: false, alpha: 1, inner: once, outer: once },
      ...{ lda: transA ? m : k, ldb: transB ? k : n, ldc: n },
      ...{ a: spanOf(a, product.a.type), b: spanOf(b, typeB), c: spanOf(c) },
    },
    clear: () => record((encoder) => encoder.clearBuffer(c)),
    result: async () => {
      record((encoder) => encoder.copyBufferToBuffer(c, 0, read, 0, size));
      await health.wait(read.mapAsync(GPUMapMode.READ));
      const values = new Float32Array(read.getMappedRange().slice(0));
      read.unmap();
      return values;
    },
    destroy: () => {
      flush();
      for (const buffer of [a, b, c, read]) buffer.destroy();
    },
  };
}

/** Eighths that repeat after a prime number of elements, so that no row is like the next. */
function filled(elements: number, type: ElementType, step: number): GPUBuffer {
  const values = Float32Array.from({ length: 2 * Math.ceil(elements / 2) }, (_, index) => (((index * step) % 17) - 8) / 8);
  const stored = type === 'f32' ? values : type === 'f16' ? encodeHalves(values) : encodeBfloats(values);
  const buffer = gpu().device.createBuffer({ size: stored.byteLength, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST });
  gpu().device.queue.writeBuffer(buffer, 0, stored);
  return buffer;
}
