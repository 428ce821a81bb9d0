/**
 * Cosines and sines of rotary position embedding, Llama 3's frequency scaling included. The float32 roundings of transformers'
 * `modeling_rope_utils` are followed step by step, so that long positions get the same angles.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { Llama3Scaling, ModelConfig } from './config.ts';

/** Angular frequency of each rotated pair, [headDim / 2]. */
export function rotaryFrequencies(config: ModelConfig): Float32Array {
  const half = config.headDim / 2;
  const frequencies = Float32Array.from({ length: half }, (_, pair) => 1 / Math.fround(config.ropeTheta ** Math.fround(pair / half)));
  return config.ropeScaling ? scaleFrequencies(frequencies, config.ropeScaling) : frequencies;
}

/** Long wavelengths are stretched by `factor`, short ones kept, those between blended. */
function scaleFrequencies(frequencies: Float32Array, scaling: Llama3Scaling): Float32Array {
  const { factor, lowFreqFactor, highFreqFactor, originalContextLength } = scaling;
  return frequencies.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength > originalContextLength / lowFreqFactor) return frequency / factor;
    if (wavelength < originalContextLength / highFreqFactor) return frequency;
    const blend = (originalContextLength / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return ((1 - blend) * frequency) / factor + blend * frequency;
  });
}

/** Values of cosine and sine for positions 0 … length − 1, each [length, headDim / 2]. */
export function rotaryValues(config: ModelConfig, length: number): { cos: Float32Array; sin: Float32Array } {
  const frequencies = rotaryFrequencies(config);
  const cos = new Float32Array(length * frequencies.length);
  const sin = new Float32Array(length * frequencies.length);
  for (let position = 0, index = 0; position < length; position++) {
    for (let pair = 0; pair < frequencies.length; pair++, index++) {
      const angle = Math.fround(position * frequencies[pair]!);
      cos[index] = Math.cos(angle);
      sin[index] = Math.sin(angle);
    }
  }
  return { cos, sin };
}

/** Growing cosine and sine tables on the backend. */
export class RotaryTables {
  private readonly config: ModelConfig;
  private tables: { cos: tf.Tensor2D; sin: tf.Tensor2D; length: number } | null = null;

  constructor(config: ModelConfig) {
    this.config = config;
  }

  /** Tables of at least `length` positions, [positions, headDim / 2]; owned by this object. */
  upTo(length: number): { cos: tf.Tensor2D; sin: tf.Tensor2D } {
    if (this.tables && this.tables.length >= length) return this.tables;
    this.dispose();
    const rounded = 2 ** Math.ceil(Math.log2(Math.max(length, 128)));
    const { cos, sin } = rotaryValues(this.config, rounded);
    const shape: [number, number] = [rounded, this.config.headDim / 2];
    this.tables = { cos: tf.keep(tf.tensor2d(cos, shape)), sin: tf.keep(tf.tensor2d(sin, shape)), length: rounded };
    return this.tables;
  }

  dispose(): void {
    if (this.tables) tf.dispose([this.tables.cos, this.tables.sin]);
    this.tables = null;
  }
}
