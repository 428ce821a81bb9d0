/**
 * A float weight that learns while the model computes with its rounded form. The grid is that of the stored format, scales rounded as they
 * are stored, so that the codes saved in the end stand for exactly what was computed with.
 * Gradients pass straight through. With frozen scales they stop where the unrounded code leaves the code range (Reasoning-QAT, arXiv
 * 2601.14888); live scales follow the range of the weights themselves, so there is nothing outside it.
 */
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { groupCount, type PackedLinear } from '../../formats/packed-linear.ts';
import { roundHalfEven } from '../../observers/grid.ts';
import { fakeQuantize, type Grid, roundToGrid, straightThrough } from '../../ops/index.ts';

export interface WeightGrid extends Pick<PackedLinear, 'bits' | 'symmetric' | 'groupSize' | 'groupIndex' | 'scaleType'> {
  /** One scale for the whole matrix; groups are then rows. */
  perTensor: boolean;
}

/** Scales and zero points as they are stored: [out, groups]. */
export type StoredParameters = Pick<PackedLinear, 'scales' | 'zeros'>;

export class LatentWeight {
  /** [out, in] */
  readonly variable: tf.Variable<tf.Rank.R2>;
  readonly module: string;
  private readonly grid: WeightGrid;
  private readonly arrangement: Arrangement;
  /** [groups of all rows, 1]; null for live scales. */
  private frozen: { scale: tf.Tensor2D; zeroPoint: tf.Tensor2D } | null = null;

  /** Takes over `latent` [out, in]. */
  constructor(module: string, latent: tf.Tensor2D, grid: WeightGrid) {
    this.module = module;
    this.grid = grid;
    this.arrangement = new Arrangement(latent.shape, grid);
    this.variable = tf.variable(latent) as tf.Variable<tf.Rank.R2>;
    latent.dispose();
  }

  /** From now on scales and zero points stay these, or, when left out, those of the weight as it is. */
  async freeze(stored?: StoredParameters): Promise<void> {
    const { scales, zeros } = stored ?? (await this.liveParameters());
    if (scales.includes(0))
      throw new RoundoffError('bad-input', `${this.module} has a scale of 0, which cannot be divided by.`, 'Train with scales "live".');
    const column = (values: ArrayLike<number>) => tf.keep(tf.tensor2d(Float32Array.from(values), [values.length, 1]));
    const count = this.grid.perTensor ? 1 : scales.length;
    this.frozen = { scale: column(scales.subarray(0, count)), zeroPoint: column(zeros.subarray(0, count)) };
  }

  /** What is computed with at a share of quantization: (1 − share) · w + share · Q(w), [out, in]. */
  mixed(share: number): tf.Tensor2D {
    return tf.tidy(() => {
      // A copy, because the optimizer writes into the variable's own memory.
      if (share === 0) return tf.add(this.variable, 0);
      const rounded = this.rounded();
      return share === 1 ? rounded : (tf.add(tf.mul(this.variable, 1 - share), tf.mul(rounded, share)) as tf.Tensor2D);
    });
  }

  /** The gradient in the latent weight of what has the gradient `dy`, which is taken over, in `mixed(share)`. */
  gradient(dy: tf.Tensor2D, share: number): tf.Tensor2D {
    const { frozen, arrangement } = this;
    if (!frozen || share === 0) return dy;
    const result = tf.tidy(() => {
      const weight = arrangement.grouped(this.variable);
      const passed = arrangement.restored(straightThrough(arrangement.grouped(dy), weight, this.kernelGrid(), frozen));
      return share === 1 ? passed : (tf.add(tf.mul(dy, 1 - share), tf.mul(passed, share)) as tf.Tensor2D);
    });
    dy.dispose();
    return result;
  }

  /** Codes, scales and zero points of the weight as it is. */
  async stored(): Promise<PackedLinear> {
    const { bits, symmetric, scaleType, perTensor, groupIndex } = this.grid;
    const [outFeatures, inFeatures] = this.variable.shape;
    const groupSize = perTensor ? inFeatures : this.grid.groupSize;
    const { scales, zeros } = this.frozen ? await this.frozenParameters() : await this.liveParameters();
    const value = tf.tidy(() => this.rounded());
    const values = await value.data<'float32'>();
    value.dispose();
    const groups = groupCount(inFeatures, groupSize);
    const codes = new Uint8Array(values.length);
    for (let i = 0; i < values.length; i++) {
      const input = i % inFeatures;
      const group = Math.floor(i / inFeatures) * groups + (groupIndex?.[input] ?? Math.floor(input / groupSize));
      codes[i] = roundHalfEven(values[i]! / scales[group]!) + zeros[group]!;
    }
    const linear: PackedLinear = { bits, symmetric, outFeatures, inFeatures, groupSize, codes, scales, zeros, groupIndex };
    return scaleType ? { ...linear, scaleType } : linear;
  }

  dispose(): void {
    this.variable.dispose();
    this.arrangement.dispose();
    if (this.frozen) tf.dispose([this.frozen.scale, this.frozen.zeroPoint]);
  }

  private rounded(): tf.Tensor2D {
    const grouped = this.arrangement.grouped(this.variable);
    const { frozen } = this;
    const value = frozen ? fakeQuantize(grouped, this.kernelGrid(), { parameters: frozen }) : roundToGrid(grouped, this.liveGrid()).value;
    return this.arrangement.restored(value);
  }

  /** Stored codes are unsigned, whatever the grid. */
  private kernelGrid(): Grid {
    return { bits: this.grid.bits, form: this.grid.symmetric ? 'shifted' : 'asymmetric', groupSize: null };
  }

  private liveGrid() {
    const { bits, symmetric, scaleType } = this.grid;
    return { bits, symmetric, halfScales: scaleType !== 'float32' };
  }

  private async liveParameters(): Promise<StoredParameters> {
    const [scale, zero] = tf.tidy(() => {
      const { scale, zero } = roundToGrid(this.arrangement.grouped(this.variable), this.liveGrid());
      return [scale, zero];
    }) as [tf.Tensor1D, tf.Tensor1D];
    const [scales, zeros] = [(await scale.data<'float32'>()).slice(), Uint8Array.from(await zero.data<'float32'>())];
    tf.dispose([scale, zero]);
    if (!scales.every(Number.isFinite)) throw outsideHalf(this.module);
    return this.spread({ scales, zeros: this.grid.symmetric ? zeros.fill(2 ** (this.grid.bits - 1)) : zeros });
  }

  private async frozenParameters(): Promise<StoredParameters> {
    const { scale, zeroPoint } = this.frozen!;
    const scales = (await scale.data<'float32'>()).slice();
    return this.spread({ scales, zeros: Uint8Array.from(await zeroPoint.data<'float32'>()) });
  }

  /** One scale of a whole matrix is stored for every row. */
  private spread({ scales, zeros }: StoredParameters): StoredParameters {
    if (!this.grid.perTensor) return { scales, zeros };
    const [rows] = this.variable.shape;
    return { scales: new Float32Array(rows).fill(scales[0]!), zeros: new Uint8Array(rows).fill(zeros[0]!) };
  }
}

/** Brings what shares a scale into one row [groups, size], and back. */
class Arrangement {
  private readonly shape: [rows: number, columns: number];
  private readonly size: number;
  /** Where each place of the groups comes from, and where each input has gone; null when groups lie side by side as they are. */
  private readonly order: { from: tf.Tensor1D; to: tf.Tensor1D } | null;

  constructor(shape: [number, number], { groupSize, groupIndex, perTensor }: WeightGrid) {
    this.shape = shape;
    const [rows, columns] = shape;
    if (perTensor || (!groupIndex && columns % groupSize === 0)) {
      this.size = perTensor ? rows * columns : groupSize;
      this.order = null;
      return;
    }
    const { size, from, to } = orderOf(columns, groupSize, groupIndex);
    this.size = size;
    this.order = { from: tf.keep(tf.tensor1d(from, 'int32')), to: tf.keep(tf.tensor1d(to, 'int32')) };
  }

  grouped(weight: tf.Tensor): tf.Tensor2D {
    const ordered = this.order ? tf.gather(weight, this.order.from, 1) : weight;
    return tf.reshape(ordered, [-1, this.size]);
  }

  restored(groups: tf.Tensor2D): tf.Tensor2D {
    if (!this.order) return tf.reshape(groups, this.shape);
    return tf.gather(tf.reshape(groups, [this.shape[0], -1]), this.order.to, 1) as tf.Tensor2D;
  }

  dispose(): void {
    if (this.order) tf.dispose([this.order.from, this.order.to]);
  }
}

/** A short group is filled up with its own first input, which changes neither its range nor, once restored, anything else. */
function orderOf(columns: number, groupSize: number, groupIndex: Int32Array | null): { size: number; from: number[]; to: number[] } {
  const groups: number[][] = Array.from({ length: groupCount(columns, groupSize) }, () => []);
  for (let input = 0; input < columns; input++) groups[groupIndex?.[input] ?? Math.floor(input / groupSize)]!.push(input);
  const size = Math.max(...groups.map((members) => members.length));
  const from = groups.flatMap((members) => Array.from({ length: size }, (_, place) => members[place] ?? members[0] ?? 0));
  const to = new Array<number>(columns);
  for (const [group, members] of groups.entries()) for (const [place, input] of members.entries()) to[input] = group * size + place;
  return { size, from, to };
}

function outsideHalf(module: string): RoundoffError {
  return new RoundoffError(
    'numeric',
    `${module}: a scale has left the 16-bit range (up to 65504).`,
    'Lower the learning rate; the last checkpoint is still good.',
  );
}
