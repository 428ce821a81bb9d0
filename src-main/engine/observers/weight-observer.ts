/**
 * Scales and zero points of a whole weight [out, in]: one pair per row and group of consecutive inputs, or per row.
 */
import type { QuantizationScheme } from '#contract/scheme.ts';
import { groupCount } from '../formats/packed-linear.ts';
import { GroupObserver, type GroupObserverSettings } from './group-observer.ts';

export interface WeightShape {
  outFeatures: number;
  inFeatures: number;
}

export interface QParams {
  /** [out, groups] */
  scales: Float32Array;
  /** [out, groups], the unsigned code that stands for 0. */
  zeros: Uint8Array;
}

/** Inputs per group of a linear: the scheme's group size, or all inputs of a row. */
export function groupSizeOf(scheme: Pick<QuantizationScheme, 'groupSize'>, inFeatures: number): number {
  return scheme.groupSize ?? inFeatures;
}

/** Observes every group of `weight` [out, in]; the last group of a row may be shorter. */
export function observeWeight(
  weight: Float32Array | Float64Array,
  shape: WeightShape,
  groupSize: number,
  settings: GroupObserverSettings,
): QParams {
  const groups = groupCount(shape.inFeatures, groupSize);
  const scales = new Float32Array(shape.outFeatures * groups);
  const zeros = new Uint8Array(shape.outFeatures * groups);
  const observer = new GroupObserver(settings);
  for (let row = 0, index = 0; row < shape.outFeatures; row++) {
    for (let start = 0; start < shape.inFeatures; start += groupSize, index++) {
      observer.observe(weight, row * shape.inFeatures + start, Math.min(groupSize, shape.inFeatures - start));
      scales[index] = observer.scale;
      zeros[index] = observer.zero;
    }
  }
  return { scales, zeros };
}
