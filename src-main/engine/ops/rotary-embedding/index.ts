/** Rotary position embedding of queries or keys, with the angle tables it reads. */

import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { hasKernel, runKernel } from '../kernel.ts';
import { rotaryEmbeddingReference } from './reference.ts';
import './wasm.ts';
import './webgpu.ts';

/** Cosines and sines by position, each [positions, headDim / 2]. */
export interface RotaryTables {
  cos: tf.Tensor2D;
  sin: tf.Tensor2D;
}

/** Tables for positions 0 … positions − 1 from the inverse frequencies (headDim / 2 of them), computed in double precision. */
export function rotaryTables(inverseFrequencies: ArrayLike<number>, positions: number): RotaryTables {
  const half = inverseFrequencies.length;
  const cos = new Float32Array(positions * half);
  const sin = new Float32Array(positions * half);
  for (let position = 0; position < positions; position++) {
    for (let i = 0; i < half; i++) {
      // transformers forms the angle in float32, which matters at large positions.
      const angle = Math.fround(position * Math.fround(inverseFrequencies[i]!));
      cos[position * half + i] = Math.cos(angle);
      sin[position * half + i] = Math.sin(angle);
    }
  }
  return { cos: tf.tensor2d(cos, [positions, half]), sin: tf.tensor2d(sin, [positions, half]) };
}

/**
 * Rotates component i against i + headDim/2 by the angle of its position.
 * @param x [batch, seq, heads, headDim]; row t is at position `offset` + t, which the tables must cover
 * @returns shaped like `x`; differentiable in `x`, the tables are constants.
 */
export function rotaryEmbedding(x: tf.Tensor4D, tables: RotaryTables, { offset = 0 }: { offset?: number } = {}): tf.Tensor4D {
  const [, seq, , headDim] = x.shape;
  const [positions, half] = tables.cos.shape;
  if (headDim !== 2 * half || offset < 0 || offset + seq > positions) {
    const message = `positions ${offset} to ${offset + seq - 1} of head size ${headDim} do not fit tables of ${positions} positions for ${2 * half}`;
    throw new RoundoffError('internal', message, 'Make the tables as long as the context.');
  }
  if (hasKernel('RotaryEmbedding')) return runKernel('RotaryEmbedding', { x, ...tables }, { offset, direction: 1 })[0] as tf.Tensor4D;
  return rotaryEmbeddingReference(x, tables.cos, tables.sin, offset);
}
