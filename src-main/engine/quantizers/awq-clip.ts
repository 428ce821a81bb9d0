/**
 * AWQ's clip search (llm-awq `auto_clip`): for every row and group of a weight, ten limits from the largest magnitude down to 55 % of it;
 * kept is the one whose rounded weights change the group's partial products with the calibration tokens least.
 */
import type { QuantizationScheme } from '#contract/scheme.ts';
import { decodeCode, encodeWeight, gridFor } from '../observers/grid.ts';
import { GroupObserver } from '../observers/group-observer.ts';
import { groupSizeOf, type WeightShape } from '../observers/weight-observer.ts';
import { GroupInputs } from './partial-products.ts';

/** Calibration tokens, strided. */
export const clipTokens = 512;
const clipSteps = 10;
const clipGrid = 20;
/** Weights whose errors are held at once, in float64. */
const deltaLimit = 1 << 21;

export interface ClipSearch {
  weight: Float32Array;
  shape: WeightShape;
  scheme: QuantizationScheme;
  /** [tokens, in], divided by the scales that went into the weight. */
  inputs: Float32Array;
  /** Lets messages come in between two groups. */
  breathe(): Promise<void>;
}

/** Limits [out, groups] of the magnitudes. Throws `numeric` on non-finite weights. */
export async function searchClip({ weight, shape, scheme, inputs, breathe }: ClipSearch): Promise<Float32Array> {
  const { outFeatures, inFeatures } = shape;
  const groupSize = groupSizeOf(scheme, inFeatures);
  const groups = inFeatures / groupSize;
  const limits = new Float32Array(outFeatures * groups);
  const rows = Math.max(1, Math.min(outFeatures, Math.floor(deltaLimit / groupSize)));
  const search = new RowSearch(scheme, groupSize, rows);
  for (let group = 0; group < groups; group++) {
    await breathe();
    const products = new GroupInputs(inputs, inFeatures, group * groupSize, groupSize);
    for (let top = 0; top < outFeatures; top += rows) {
      const count = Math.min(rows, outFeatures - top);
      const starts = Array.from({ length: count }, (_, row) => (top + row) * inFeatures + group * groupSize);
      const best = search.run(weight, starts, products);
      for (let row = 0; row < count; row++) limits[(top + row) * groups + group] = best[row]!;
    }
  }
  return limits;
}

/** The weight with every group clamped to ± its limit. */
export function clampToLimits(weight: Float32Array, limits: Float32Array): Float32Array {
  const groupSize = weight.length / limits.length;
  return weight.map((value, i) => {
    const limit = limits[Math.floor(i / groupSize)]!;
    return Math.max(-limit, Math.min(limit, value));
  });
}

/** Searches one group of several rows at once. */
class RowSearch {
  private readonly observer: GroupObserver;
  private readonly clamped: Float32Array;
  private readonly delta: Float64Array;
  private readonly groupSize: number;

  constructor(scheme: QuantizationScheme, groupSize: number, rows: number) {
    this.observer = new GroupObserver({ bits: scheme.bits, grid: gridFor('awq', scheme), mseSearch: false, scaleType: 'float16' });
    this.groupSize = groupSize;
    this.clamped = new Float32Array(groupSize);
    this.delta = new Float64Array(rows * groupSize);
  }

  /** The best limit of each group that begins at one of `starts`; the widest wins a tie. */
  run(weight: Float32Array, starts: readonly number[], inputs: GroupInputs): Float32Array {
    const largest = Float32Array.from(starts, (start) => {
      let magnitude = 0;
      for (let i = start; i < start + this.groupSize; i++) magnitude = Math.max(magnitude, Math.abs(weight[i]!));
      return magnitude;
    });
    const best = largest.slice();
    const lowest = new Float64Array(starts.length).fill(Number.POSITIVE_INFINITY);
    for (let step = 0; step < clipSteps; step++) {
      const share = Math.fround(1 - step / clipGrid);
      for (const [row, start] of starts.entries()) this.roundClamped(weight, start, Math.fround(largest[row]! * share), row);
      const errors = inputs.squaredOutputs(this.delta, starts.length);
      for (let row = 0; row < starts.length; row++) {
        if (errors[row]! >= lowest[row]!) continue;
        lowest[row] = errors[row]!;
        best[row] = largest[row]! * share;
      }
    }
    return best;
  }

  /** Leaves what clamping to ±limit and rounding change of one group in row `row` of the errors. */
  private roundClamped(weight: Float32Array, start: number, limit: number, row: number): void {
    const { clamped, delta, observer, groupSize } = this;
    for (let i = 0; i < groupSize; i++) {
      const value = weight[start + i]!;
      clamped[i] = value > limit ? limit : value < -limit ? -limit : value;
    }
    observer.observe(clamped, 0, groupSize);
    const { scale, zero, maxCode } = observer;
    const base = row * groupSize;
    for (let i = 0; i < groupSize; i++) {
      delta[base + i] = weight[start + i]! - decodeCode(encodeWeight(clamped[i]!, scale, zero, maxCode), scale, zero);
    }
  }
}
