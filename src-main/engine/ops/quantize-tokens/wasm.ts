/** Fake quantization of tokens on the wasm backend, rows spread over the cores. */
import type * as tf from '@tensorflow/tfjs-core';
import { runParallel } from '../../backends/wasm/kernel-module.ts';
import { floatsAt } from '../../backends/wasm/memory.ts';
import { workspace } from '../../backends/wasm/workspace.ts';
import { pointers, registerWasmKernel, sizeOf } from '../kernel.ts';
import type { TokenQuantizer } from './index.ts';
import { quantizerFloats, quantizerWords } from './quantizer-words.ts';

/** Values per chunk of work: some tens of microseconds. */
const chunkValues = 1 << 15;

registerWasmKernel('QuantizeTokens', ({ inputs, attributes, output }) => {
  const { x } = inputs as { x: tf.TensorInfo };
  const y = output(x.shape);
  const size = x.shape.at(-1)!;
  runParallel('quantizeTokens', sizeOf(x) / size, rowsPerChunk(size), [...pointers(x, y), quantizerAt(attributes), size]);
  return [y];
});

registerWasmKernel('QuantizeTokensGrad', ({ inputs, attributes, output }) => {
  const { x, dy } = inputs as { x: tf.TensorInfo; dy: tf.TensorInfo };
  const dx = output(x.shape);
  const size = x.shape.at(-1)!;
  runParallel('quantizeTokensBackward', sizeOf(x) / size, rowsPerChunk(size), [...pointers(x, dy, dx), quantizerAt(attributes), size]);
  return [dx];
});

/** Writes the quantizer where the kernels can read it; valid until the workspace's next use. */
function quantizerAt(attributes: Record<string, unknown>): number {
  const offset = workspace(4 * quantizerWords);
  floatsAt(offset, quantizerWords).set(quantizerFloats(attributes as unknown as TokenQuantizer));
  return offset;
}

function rowsPerChunk(size: number): number {
  return Math.max(1, Math.floor(chunkValues / size));
}
