/** Fake quantization of tokens on the wasm backend, rows spread over the cores. */
import type * as tf from '@tensorflow/tfjs-core';
import { runParallel } from '../../backends/wasm/kernel-module.ts';
import { floatsAt, pointerOf } from '../../backends/wasm/memory.ts';
import { workspace } from '../../backends/wasm/workspace.ts';
import { registerWasmKernel, sizeOf } from '../kernel.ts';
import type { TokenQuantizer } from './index.ts';
import { quantizerFloats, quantizerWords } from './quantizer-words.ts';

/** Values per chunk of work: some tens of microseconds. */
const chunkValues = 1 << 15;

registerWasmKernel('QuantizeTokens', ({ inputs, attributes, output }) => {
  const { x } = inputs as { x: tf.TensorInfo };
  const y = output(x.shape);
  const quantizer = workspace(4 * quantizerWords);
  floatsAt(quantizer, quantizerWords).set(quantizerFloats(attributes as unknown as TokenQuantizer));
  const size = x.shape.at(-1)!;
  const rowsPerChunk = Math.max(1, Math.floor(chunkValues / size));
  runParallel('quantizeTokens', sizeOf(x) / size, rowsPerChunk, [pointerOf(x), pointerOf(y), quantizer, size]);
  return [y];
});
