/**
 * The trained values of one layer, as two variables: raw values of all transforms, and clip logits c (a factor is σ(c)). A step reads the
 * transforms, computes them and their inverses in double precision, and gives the tape leaves; gradients of the leaves come back here.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { StageOf } from '#contract/recipe.ts';
import { RandomStream } from '../../data/random-stream.ts';
import type { DenseParameter } from '../../formats/quantized-checkpoint.ts';
import type { ModelConfig } from '../../model/config.ts';
import { adamW, createMoments, type Moments } from '../../ops/index.ts';
import { clipShapes, type LayerPlan, type TransformShape, transformShapes } from './layer-plan.ts';
import { diagonal, direct, type Parameterisation, singularValues, type Transform } from './parameterisation.ts';
import { randomOrthogonal } from './small-matrix.ts';

/** c₀ and AdamW's decay as in FlatQuant's code; σ(4) ≈ 0.982. */
export const initialClipLogit = 4;
const weightDecay = 0.01;

/** Tensors the layer computes with, by the names of `layer-plan`. */
export interface LayerTensors {
  /** Matrices [n, n] and diagonals [n] with their inverse transposes. */
  transforms: Map<string, { value: tf.Tensor; inverse: tf.Tensor }>;
  /** σ(c): [rows] of a linear, [1] of a token quantizer. */
  clips: Map<string, tf.Tensor1D>;
}

interface Entry extends TransformShape {
  form: Parameterisation;
  offset: number;
}

export interface StepRates {
  /** Number of this update, from 1. */
  step: number;
  transforms: number;
  clips: number;
}

export class Trainables {
  private readonly entries: Entry[];
  private readonly clipShapes: { name: string; size: number }[];
  private readonly raw: tf.Variable;
  private readonly logits: tf.Variable;
  private readonly moments: { raw: Moments; logits: Moments };
  /** Of the last `tensors()`, for its gradient. */
  private latest: { raw: Float64Array; transforms: Map<string, Transform> } | null = null;

  /** @param diagonals where the diagonals start, by the name of their site */
  constructor(
    plan: LayerPlan,
    config: ModelConfig,
    options: Pick<StageOf<'flatquant'>['options'], 'seed' | 'parameterisation'>,
    diagonals: ReadonlyMap<string, Float64Array>,
  ) {
    const stream = new RandomStream(options.seed, 'flatquant', plan.prefix);
    let offset = 0;
    this.entries = transformShapes(plan).map((shape) => {
      const form = formOf(shape, options.parameterisation, stream, diagonals);
      const entry = { ...shape, form, offset };
      offset += form.initial.length;
      return entry;
    });
    this.clipShapes = clipShapes(plan, config);
    const initial = new Float32Array(offset);
    for (const { form, offset } of this.entries) initial.set(form.initial, offset);
    const clips = this.clipShapes.reduce((sum, { size }) => sum + size, 0);
    [this.raw, this.logits] = tf.tidy(() => [tf.variable(tf.tensor1d(initial)), tf.variable(tf.fill([clips], initialClipLogit))]);
    this.moments = { raw: createMoments(this.raw), logits: createMoments(this.logits) };
  }

  /** Raw values of all transforms, and clip logits, for an optimizer of another's. */
  get variables(): { raw: tf.Variable; logits: tf.Variable } {
    return { raw: this.raw, logits: this.logits };
  }

  /** The values as they are now. The caller disposes them with `disposeTensors`. */
  async tensors(): Promise<LayerTensors> {
    const raw = Float64Array.from(await this.raw.data<'float32'>());
    const computed = this.entries.map((entry) => [entry.name, entry.form.transform(rawOf(entry, raw))] as const);
    this.latest = { raw, transforms: new Map(computed) };
    const transforms: LayerTensors['transforms'] = new Map();
    for (const { name, kind, size } of this.entries) {
      const { value, inverse } = this.latest.transforms.get(name)!;
      const shape = kind === 'matrix' ? [size, size] : [size];
      transforms.set(name, { value: tf.tensor(Float32Array.from(value), shape), inverse: tf.tensor(Float32Array.from(inverse), shape) });
    }
    return { transforms, clips: this.clipTensors() };
  }

  /** One AdamW step. `gradients` of the leaves in the order of `leavesOf`, of a loss that counts as divided by `loss`. */
  async update(gradients: readonly tf.Tensor[], loss: tf.Scalar, rates: StepRates): Promise<void> {
    const own = await this.ownGradients(gradients);
    const gradientScale = tf.tidy(() => tf.div(1, tf.maximum(loss, 1e-30)) as tf.Scalar);
    const settings = { step: rates.step, weightDecay, gradientScale };
    adamW(this.raw, own.raw, this.moments.raw, { ...settings, learningRate: rates.transforms });
    adamW(this.logits, own.logits, this.moments.logits, { ...settings, learningRate: rates.clips });
    tf.dispose([gradientScale, own.raw, own.logits]);
  }

  /** Gradients in the raw values and in the clip logits from those of the leaves that the last `tensors()` gave. The caller disposes them. */
  async ownGradients(gradients: readonly tf.Tensor[]): Promise<{ raw: tf.Tensor1D; logits: tf.Tensor1D }> {
    const inTransforms = 2 * this.entries.length;
    const [flat, logits] = tf.tidy(() => {
      const factors = tf.sigmoid(this.logits);
      const inFactors = tf.concat([...gradients.slice(inTransforms), tf.zeros([0])]);
      return [
        tf.concat([...gradients.slice(0, inTransforms).map((gradient) => tf.reshape(gradient, [-1])), tf.zeros([0])]),
        tf.mul(inFactors, tf.mul(factors, tf.sub(1, factors))),
      ] as [tf.Tensor1D, tf.Tensor1D];
    });
    const raw = this.rawGradient(Float64Array.from(await flat.data<'float32'>()));
    flat.dispose();
    return { raw: tf.tensor1d(Float32Array.from(raw)), logits };
  }

  /** Replaces raw values and clip logits, laid out as `transformShapes` and `clipShapes` list them. */
  assign(raw: Float32Array, logits: Float32Array): void {
    tf.tidy(() => {
      this.raw.assign(tf.tensor1d(raw));
      this.logits.assign(tf.tensor1d(logits));
    });
  }

  /**
   * What training of the whole model may go on from: matrices P and diagonals d as `transformShapes` names them, clip logits c as
   * `clipShapes` does (a factor is σ(c)). With the original weights they give the calibrated layer again.
   */
  async values(): Promise<Map<string, DenseParameter>> {
    const tensors = await this.tensors();
    const result = new Map<string, DenseParameter>();
    for (const [name, { value }] of tensors.transforms) result.set(name, { values: await value.data<'float32'>(), shape: value.shape });
    const logits = await this.logits.data<'float32'>();
    let offset = 0;
    for (const { name, size } of this.clipShapes) {
      result.set(name, { values: logits.slice(offset, offset + size), shape: [size] });
      offset += size;
    }
    disposeTensors(tensors);
    return result;
  }

  dispose(): void {
    const { raw, logits } = this.moments;
    tf.dispose([this.raw, this.logits, raw.mean, raw.square, logits.mean, logits.square]);
  }

  /** @param flat each transform's value, then its inverse */
  private rawGradient(flat: Float64Array): Float64Array {
    const { raw, transforms } = this.latest!;
    const result = new Float64Array(raw.length);
    let place = 0;
    for (const entry of this.entries) {
      const { form, offset, name } = entry;
      const [dValue, dInverse] = [flat.subarray(place, place + form.length), flat.subarray(place + form.length, place + 2 * form.length)];
      result.set(form.gradient(rawOf(entry, raw), transforms.get(name)!, dValue, dInverse), offset);
      place += 2 * form.length;
    }
    return result;
  }

  private clipTensors(): Map<string, tf.Tensor1D> {
    if (this.clipShapes.length === 0) return new Map();
    const sizes = this.clipShapes.map(({ size }) => size);
    const factors = tf.tidy(() => tf.split(tf.sigmoid(this.logits), sizes)) as tf.Tensor1D[];
    return new Map(this.clipShapes.map(({ name }, index) => [name, factors[index]!]));
  }
}

/** What gradients are taken of: each transform's value and inverse, then the clip factors. */
export function leavesOf({ transforms, clips }: LayerTensors): tf.Tensor[] {
  return [...[...transforms.values()].flatMap(({ value, inverse }) => [value, inverse]), ...clips.values()];
}

export function disposeTensors(tensors: LayerTensors): void {
  tf.dispose(leavesOf(tensors));
}

function rawOf({ form, offset }: Entry, raw: Float64Array): Float64Array {
  return raw.subarray(offset, offset + form.initial.length);
}

function formOf(
  { name, kind, size }: TransformShape,
  parameterisation: 'direct' | 'svd',
  stream: RandomStream,
  diagonals: ReadonlyMap<string, Float64Array>,
): Parameterisation {
  if (kind === 'diagonal') return diagonal(diagonals.get(name.split('.')[0]!)!);
  const start = randomOrthogonal(size, stream.fork(name));
  return parameterisation === 'direct' ? direct(start, size) : singularValues(start, size);
}
