/** A packed weight as a backend holds it. */
import type * as tf from '@tensorflow/tfjs-core';
import { nf4BlockCount } from '../../formats/nf4.ts';
import { groupCount, packedWords } from '../../formats/packed-linear.ts';

/** A stored linear in a backend's memory. */
export interface PackedWeight {
  /** Everything but the numbers. */
  layout: PackedWeightLayout;
  /** int32 bit stream: rows of whole words for integer grids, one stream for NF4; two words of padding follow. */
  words: tf.Tensor1D;
  /** Scales [out, groups], or NF4's block scales [blocks]. */
  scales: tf.Tensor;
  /** int32 bit stream of [out, groups] zero points with two words of padding; null for symmetric grids and NF4. */
  zeros: tf.Tensor1D | null;
  /** int32 [in], where groups are not consecutive. */
  groupIndex: tf.Tensor1D | null;
}

export type PackedWeightLayout = {
  bits: number;
  outFeatures: number;
  inFeatures: number;
  /** Inputs per group of a row; 64 weights per block for NF4. */
  groupSize: number;
} & ({ coding: 'integer'; symmetric: boolean } | { coding: 'nf4' });

/** Words per row of the code stream, and groups per row (NF4: blocks in all). */
export function streamShape(layout: PackedWeightLayout): { wordsPerRow: number; groups: number } {
  const { bits, outFeatures, inFeatures, groupSize } = layout;
  if (layout.coding === 'nf4') return { wordsPerRow: 0, groups: nf4BlockCount(outFeatures, inFeatures) };
  return { wordsPerRow: packedWords(inFeatures, bits), groups: groupCount(inFeatures, groupSize) };
}
