/**
 * `tf.slice` on the wasm backend, run by run inside the heap. The stock kernel, which `tf.split` and `tf.unstack` still use, first copies
 * the whole tensor out of the heap, for every slice.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { WasmBackend } from './memory.ts';

interface SliceCall {
  inputs: tf.NamedTensorInfoMap;
  backend: unknown;
  attrs?: tf.NamedAttrMap;
}

export function registerSlice(): void {
  const stock = tf.getKernel('Slice', 'wasm').kernelFunc;
  tf.unregisterKernel('Slice', 'wasm');
  tf.registerKernel({
    kernelName: 'Slice',
    backendName: 'wasm',
    // Strings live outside the heap.
    kernelFunc: (call) => (call.inputs.x!.dtype === 'string' ? stock(call) : sliceKernel(call)),
  });
}

function sliceKernel({ inputs, backend, attrs }: SliceCall): tf.TensorInfo {
  const x = inputs.x as tf.TensorInfo;
  const { begin: asked, size: askedSize } = attrs as { begin: number[]; size: number[] };
  const [begin, size] = tf.slice_util.parseSliceParams(x as tf.Tensor, asked, askedSize) as [number[], number[]];
  const heap = backend as WasmBackend;
  const out = heap.makeOutput(size, x.dtype);
  const elements = tf.util.sizeFromShape(size);
  if (elements === 0) return out;
  const bytes = tf.util.bytesPerElement(x.dtype);
  // Whole trailing dimensions join the run that lies in one piece.
  let axis = Math.max(0, size.length - 1);
  while (axis > 0 && size[axis] === x.shape[axis]) axis--;
  const run = bytes * tf.util.sizeFromShape(size.slice(axis));
  const strides = [...tf.util.computeStrides(x.shape), 1];
  const place = (info: tf.TensorInfo) => heap.dataIdMap.get(info.dataId).memoryOffset >>> 0;
  const [source, target] = [place(x), place(out)];
  for (let copied = 0; copied < elements * bytes; copied += run) {
    const from = source + bytes * sourceIndex(copied / run, axis, begin, size, strides);
    heap.wasm.HEAPU8.copyWithin(target + copied, from, from + run);
  }
  return out;
}

/** Where run number `run` begins in the source; its coordinates count over the axes before `axis`. */
function sourceIndex(run: number, axis: number, begin: number[], size: number[], strides: number[]): number {
  let rest = run;
  let index = 0;
  for (let i = begin.length - 1; i >= 0; i--) {
    let coordinate = begin[i]!;
    if (i < axis) {
      coordinate += rest % size[i]!;
      rest = Math.floor(rest / size[i]!);
    }
    index += coordinate * strides[i]!;
  }
  return index;
}
