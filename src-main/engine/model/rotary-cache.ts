/**
 * Frequencies of rotary position embedding, Llama 3's scaling included, and their tables. The float32 roundings of transformers'
 * `modeling_rope_utils` are followed step by step, so that long positions get the same angles.
 */
import * as tf from '@tensorflow/tfjs-core';
import { type RotaryTables, rotaryTables } from '../ops/index.ts';
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

/** Positions that tables of at least `length` are made for. */
export function tablePositions(length: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(length, 128)));
}

/** Growing tables of angles on the backend, made by the rotary embedding op. */
export class RotaryCache {
  private readonly frequencies: Float32Array;
  private tables: RotaryTables | null = null;

  constructor(config: ModelConfig) {
    this.frequencies = rotaryFrequencies(config);
  }

  /** Tables of at least `length` positions; owned by this object. */
  upTo(length: number): RotaryTables {
    if (this.tables && this.tables.cos.shape[0] >= length) return this.tables;
    this.dispose();
    const tables = rotaryTables(this.frequencies, tablePositions(length));
    this.tables = { cos: tf.keep(tables.cos), sin: tf.keep(tables.sin) };
    return this.tables;
  }

  /** Tables whose row t is the position of token t within its sequence, of sequences that lie one after the other. The caller's to dispose. */
  restarting(lengths: readonly number[]): RotaryTables {
    const positions = Int32Array.from(lengths.flatMap((length) => Array.from({ length }, (_, position) => position)));
    const { cos, sin } = this.upTo(Math.max(...lengths));
    return tf.tidy(() => {
      const rows = tf.tensor1d(positions, 'int32');
      return { cos: tf.gather(cos, rows), sin: tf.gather(sin, rows) };
    });
  }

  dispose(): void {
    if (this.tables) tf.dispose([this.tables.cos, this.tables.sin]);
    this.tables = null;
  }
}
