/**
 * GPTQ of one linear (Frantar et al. 2022; IST-DASLab/gptq): inputs are quantized one after the other and each rounding error is
 * compensated on the inputs still to come, along the inverse factor of the calibration Hessian. Rows are independent, so a row
 * walks a whole block while it lies in cache; later blocks receive the block's errors at once.
 */
import { RoundoffError } from '#contract/errors.ts';
import type { QuantizationScheme } from '#contract/scheme.ts';
import { groupCount } from '../formats/packed-linear.ts';
import { decodeCode, encodeWeight, type Grid } from '../observers/grid.ts';
import { GroupObserver, type GroupObserverSettings } from '../observers/group-observer.ts';
import { observeWeight, type QParams, type WeightShape } from '../observers/weight-observer.ts';
import { type BlockErrors, propagateErrors } from './gptq-block.ts';
import type { GptqFactor } from './gptq-factor.ts';

export interface GptqSettings extends GroupObserverSettings {
  bits: QuantizationScheme['bits'];
  grid: Grid;
  /** Inputs per group; the last group of a row may be shorter. */
  groupSize: number;
  /** All groups' parameters from the untouched weight; otherwise each group is observed when the walk reaches it. */
  staticGroups: boolean;
  blockSize: number;
}

export interface GptqResult extends QParams {
  /** [out, in] */
  codes: Uint8Array;
  /** [in] when act-order met dynamic groups, null otherwise. */
  groupIndex: Int32Array | null;
  /** [out, in], each weight as compensated at the instant before it was rounded: rounding them on the grid gives `codes`. */
  latents: Float32Array;
  /** ½Σe², which equals ½·tr(Δ·H_damped·Δᵀ). */
  loss: number;
}

/** Mutable state of one walk; columns are in walking order. */
interface Walk {
  shape: WeightShape;
  factor: GptqFactor;
  settings: GptqSettings;
  /** [out, in], compensated so far. */
  current: Float64Array;
  /** [in], group of each column. */
  groups: Int32Array;
  /** Columns at which a group is observed; empty with static groups. */
  dynamic: boolean;
  result: GptqResult;
}

/** Quantizes `weight` [out, in] along `factor`. Throws `numeric` when the compensation leaves the finite range. */
export async function solveGptq(weight: Float32Array, shape: WeightShape, factor: GptqFactor, settings: GptqSettings): Promise<GptqResult> {
  const walk = startWalk(weight, shape, factor, settings);
  const width = alignedBlock(settings.blockSize, settings.groupSize, walk.dynamic);
  const values = new Float64Array(shape.outFeatures * width);
  for (let start = 0; start < shape.inFeatures; start += width) {
    const errors: BlockErrors = { start, end: Math.min(start + width, shape.inFeatures), width, values };
    quantizeBlock(walk, errors);
    await propagateErrors(walk.current, errors, factor.upper, shape);
  }
  if (!Number.isFinite(walk.result.loss)) {
    throw new RoundoffError(
      'numeric',
      'Error compensation left the finite range.',
      'Raise the damping (dampPercent) or use more calibration text.',
    );
  }
  return walk.result;
}

function startWalk(weight: Float32Array, shape: WeightShape, factor: GptqFactor, settings: GptqSettings): Walk {
  const { outFeatures, inFeatures } = shape;
  const { order } = factor;
  const current = new Float64Array(weight.length);
  for (let row = 0; row < outFeatures; row++) {
    for (let step = 0; step < inFeatures; step++) {
      const input = order ? order[step]! : step;
      current[row * inFeatures + step] = factor.dead[input] ? 0 : weight[row * inFeatures + input]!;
    }
  }
  const count = groupCount(inFeatures, settings.groupSize);
  const dynamic = !settings.staticGroups && count > 1;
  const groupOf = (step: number) => Math.floor((order && !dynamic ? order[step]! : step) / settings.groupSize);
  const groups = Int32Array.from({ length: inFeatures }, (_, step) => groupOf(step));
  const qparams = dynamic
    ? { scales: new Float32Array(outFeatures * count), zeros: new Uint8Array(outFeatures * count) }
    : observeWeight(withoutDead(weight, shape, factor.dead), shape, settings.groupSize, settings);
  const groupIndex = dynamic && order ? new Int32Array(inFeatures) : null;
  if (groupIndex && order) for (let step = 0; step < inFeatures; step++) groupIndex[order[step]!] = groups[step]!;
  const result = { ...qparams, codes: new Uint8Array(weight.length), latents: new Float32Array(weight.length), groupIndex, loss: 0 };
  return { shape, factor, settings, current, groups, dynamic, result };
}

function withoutDead(weight: Float32Array, shape: WeightShape, dead: Uint8Array): Float32Array {
  if (!dead.includes(1)) return weight;
  return weight.map((value, index) => (dead[index % shape.inFeatures] ? 0 : value));
}

/**
 * A block in which no dynamic group straddles an end: when a group is observed, all its columns have received every earlier
 * error. The block size changes nothing but the order of additions.
 */
function alignedBlock(blockSize: number, groupSize: number, dynamic: boolean): number {
  if (!dynamic) return blockSize;
  if (groupSize <= blockSize) return blockSize - (blockSize % groupSize);
  return groupSize % blockSize === 0 ? blockSize : groupSize;
}

/** Quantizes the block's columns of every row and leaves their scaled errors in `errors`. */
function quantizeBlock(walk: Walk, errors: BlockErrors): void {
  const { start, end, width, values } = errors;
  const { shape, factor, settings, current, groups, dynamic, result } = walk;
  const { upper, order } = factor;
  const { scales, zeros, codes, latents } = result;
  const n = shape.inFeatures;
  const perRow = groupCount(n, settings.groupSize);
  const observer = new GroupObserver(settings);
  const { maxCode } = observer;
  let loss = 0;
  for (let row = 0; row < shape.outFeatures; row++) {
    const base = row * n;
    for (let column = start; column < end; column++) {
      const group = row * perRow + groups[column]!;
      if (dynamic && column % settings.groupSize === 0) {
        observer.observe(current, base + column, Math.min(settings.groupSize, n - column));
        scales[group] = observer.scale;
        zeros[group] = observer.zero;
      }
      const scale = scales[group]!;
      const zero = zeros[group]!;
      const latent = Math.fround(current[base + column]!);
      const code = encodeWeight(latent, scale, zero, maxCode);
      const stored = base + (order ? order[column]! : column);
      latents[stored] = latent;
      codes[stored] = code;
      const pivots = column * n;
      const error = (latent - decodeCode(code, scale, zero)) / upper[pivots + column]!;
      values[row * width + column - start] = error;
      loss += error * error;
      for (let later = column + 1; later < end; later++) current[base + later]! -= error * upper[pivots + later]!;
    }
  }
  result.loss += loss / 2;
}
