/**
 * GPTQ of one linear (Frantar et al. 2022; IST-DASLab/gptq): inputs are quantized one after the other and each rounding error is
 * compensated on the inputs still to come, along the inverse factor of the calibration Hessian: at once inside a strip, after the
 * strip on the rest of its block, after the block on all later inputs.
 */
import { setImmediate } from 'node:timers/promises';
import { RoundoffError } from '#contract/errors.ts';
import type { QuantizationScheme } from '#contract/scheme.ts';
import { groupCount } from '../formats/packed-linear.ts';
import type { Grid } from '../observers/grid.ts';
import { GroupObserver, type GroupObserverSettings } from '../observers/group-observer.ts';
import { observeWeight, type QParams, type WeightShape } from '../observers/weight-observer.ts';
import { type BlockErrors, compensateInput, compensateSpan, quantizeInput, type Weights } from './gptq-block.ts';
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

/** One walk; inputs are in walking order. */
interface Walk {
  weights: Weights;
  settings: GptqSettings;
  observer: GroupObserver;
  /** [in], group of each input. */
  groups: Int32Array;
  /** Groups are observed when the walk reaches them. */
  dynamic: boolean;
  qparams: QParams;
}

/** Inputs that are quantized before their errors leave as a matrix product. */
const stripWidth = 16;
/** Outputs that are copied together between the two storage orders: as many as fill a cache line. */
const tileRows = 8;

/** Quantizes `weight` [out, in] along `factor`. Throws `numeric` when the compensation leaves the finite range. */
export async function solveGptq(weight: Float32Array, shape: WeightShape, factor: GptqFactor, settings: GptqSettings): Promise<GptqResult> {
  const { inFeatures, outFeatures } = shape;
  const walk = startWalk(weight, shape, factor, settings);
  const width = alignedBlock(settings.blockSize, settings.groupSize, walk.dynamic);
  const values = new Float64Array(outFeatures * Math.min(width, inFeatures));
  let squares = 0;
  for (let start = 0; start < inFeatures; start += width) {
    await setImmediate();
    const end = Math.min(start + width, inFeatures);
    squares += quantizeBlock(walk, { start, values }, end);
    compensateSpan(walk.weights, { start, values }, { first: start, last: end }, inFeatures);
  }
  if (!Number.isFinite(squares)) {
    throw new RoundoffError(
      'numeric',
      'Error compensation left the finite range.',
      'Raise the damping (dampPercent) or use more calibration text.',
    );
  }
  return finishWalk(walk, factor.order, squares / 2);
}

function startWalk(weight: Float32Array, shape: WeightShape, factor: GptqFactor, settings: GptqSettings): Walk {
  const { inFeatures, outFeatures } = shape;
  const { order } = factor;
  const count = groupCount(inFeatures, settings.groupSize);
  const dynamic = !settings.staticGroups && count > 1;
  const groupOf = (step: number) => Math.floor((order && !dynamic ? order[step]! : step) / settings.groupSize);
  const alive = withoutDead(weight, shape, factor.dead);
  const current = new Float64Array(weight.length);
  for (let top = 0; top < outFeatures; top += tileRows) {
    const bottom = Math.min(top + tileRows, outFeatures);
    for (let step = 0; step < inFeatures; step++) {
      const input = order ? order[step]! : step;
      for (let row = top; row < bottom; row++) current[step * outFeatures + row] = alive[row * inFeatures + input]!;
    }
  }
  return {
    weights: { ...shape, current, codes: new Uint8Array(weight.length), upper: factor.upper },
    settings,
    observer: new GroupObserver(settings),
    groups: Int32Array.from({ length: inFeatures }, (_, step) => groupOf(step)),
    dynamic,
    qparams: dynamic
      ? { scales: new Float32Array(outFeatures * count), zeros: new Uint8Array(outFeatures * count) }
      : observeWeight(alive, shape, settings.groupSize, settings),
  };
}

function withoutDead(weight: Float32Array, shape: WeightShape, dead: Uint8Array): Float32Array {
  if (!dead.includes(1)) return weight;
  return weight.map((value, index) => (dead[index % shape.inFeatures] ? 0 : value));
}

/** Results in stored order. */
function finishWalk(walk: Walk, order: Int32Array | null, loss: number): GptqResult {
  const { inFeatures, outFeatures, current, codes } = walk.weights;
  const groupIndex = walk.dynamic && order ? new Int32Array(inFeatures) : null;
  if (groupIndex && order) for (let step = 0; step < inFeatures; step++) groupIndex[order[step]!] = walk.groups[step]!;
  const result = { ...walk.qparams, codes: new Uint8Array(codes.length), latents: new Float32Array(codes.length), groupIndex, loss };
  for (let top = 0; top < outFeatures; top += tileRows) {
    const bottom = Math.min(top + tileRows, outFeatures);
    for (let step = 0; step < inFeatures; step++) {
      const input = order ? order[step]! : step;
      for (let row = top; row < bottom; row++) {
        result.latents[row * inFeatures + input] = current[step * outFeatures + row]!;
        result.codes[row * inFeatures + input] = codes[step * outFeatures + row]!;
      }
    }
  }
  return result;
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

/** Quantizes the inputs errors.start … end − 1 in strips that end where a dynamic group begins. Returns the sum of squared errors. */
function quantizeBlock(walk: Walk, errors: BlockErrors, end: number): number {
  const { weights, settings, qparams, observer, groups, dynamic } = walk;
  const stride = groupCount(weights.inFeatures, settings.groupSize);
  let squares = 0;
  for (let first = errors.start; first < end; ) {
    if (dynamic && first % settings.groupSize === 0) observeGroup(walk, first, groups[first]!, stride);
    const groupEnd = dynamic ? first + settings.groupSize - (first % settings.groupSize) : end;
    const last = Math.min(first + stripWidth, groupEnd, end);
    for (let input = first; input < last; input++) {
      squares += quantizeInput(weights, errors, input, { ...qparams, offset: groups[input]!, stride, maxCode: observer.maxCode });
      compensateInput(weights, errors, input, last);
    }
    compensateSpan(weights, errors, { first, last }, end);
    first = last;
  }
  return squares;
}

/** Chooses scale and zero point of the group that begins at input `first` for all outputs. */
function observeGroup(walk: Walk, first: number, group: number, stride: number): void {
  const { weights, settings, observer, qparams } = walk;
  const { inFeatures, outFeatures, current } = weights;
  const count = Math.min(settings.groupSize, inFeatures - first);
  const tile = new Float64Array(tileRows * count);
  for (let top = 0; top < outFeatures; top += tileRows) {
    const height = Math.min(tileRows, outFeatures - top);
    for (let i = 0; i < count; i++) {
      for (let row = 0; row < height; row++) tile[row * count + i] = current[(first + i) * outFeatures + top + row]!;
    }
    for (let row = 0; row < height; row++) {
      observer.observe(tile, row * count, count);
      qparams.scales[(top + row) * stride + group] = observer.scale;
      qparams.zeros[(top + row) * stride + group] = observer.zero;
    }
  }
}
