/**
 * What happens to a decoder layer's activations besides its linears: online transforms of what linears read, transforms of queries and
 * keys after rotary embedding, and fake quantization of inputs, keys and values. Quantizers produce it, checkpoints store it, the model
 * and the decode engine compute it.
 */
import * as tf from '@tensorflow/tfjs-core';
import { kronecker } from '../ops/kronecker/index.ts';
import { quantizeTokens, type TokenQuantizer } from '../ops/quantize-tokens/index.ts';

export type { TokenQuantizer } from '../ops/quantize-tokens/index.ts';

/** Rows are multiplied by left ⊗ right; null stands for the identity. See `kronecker`. */
export interface KroneckerTransform {
  /** n1 and n2; their product is the size of the input. */
  rows: number;
  columns: number;
  /** [rows, rows] */
  left: Float32Array | null;
  /** [columns, columns] */
  right: Float32Array | null;
}

/** In this order: transform, then quantize. */
export interface LinearInput {
  transform: KroneckerTransform | null;
  quantizer: TokenQuantizer | null;
}

/** The four inputs that linears of a layer read: q, k, v; o; gate, up; down. */
export const inputSites = ['attentionInput', 'attentionOutput', 'mlpInput', 'mlpOutput'] as const;
export type InputSite = (typeof inputSites)[number];

export const siteModules: Record<InputSite, readonly string[]> = {
  attentionInput: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
  attentionOutput: ['self_attn.o_proj'],
  mlpInput: ['mlp.gate_proj', 'mlp.up_proj'],
  mlpOutput: ['mlp.down_proj'],
};

export interface LayerActivations extends Record<InputSite, LinearInput> {
  /** Keys, after rotary embedding, per token and head: multiplied by `transform`, quantized as they enter the cache. */
  keys: {
    /** [headDim, headDim] */
    transform: Float32Array | null;
    /** What queries are multiplied by, so that products with transformed keys stay the same: transform⁻ᵀ. */
    queryTransform: Float32Array | null;
    quantizer: TokenQuantizer | null;
  };
  /** Values are quantized as they enter the cache. */
  values: { quantizer: TokenQuantizer | null };
}

/** Nothing but float activations. */
export function plainActivations(): LayerActivations {
  const input = (): LinearInput => ({ transform: null, quantizer: null });
  return {
    attentionInput: input(),
    attentionOutput: input(),
    mlpInput: input(),
    mlpOutput: input(),
    keys: { transform: null, queryTransform: null, quantizer: null },
    values: { quantizer: null },
  };
}

/** Whether the layer computes as if there were no such settings. */
export function isPlain({ keys, values, ...inputs }: LayerActivations): boolean {
  const sites = Object.values(inputs).every(({ transform, quantizer }) => transform === null && quantizer === null);
  return sites && keys.transform === null && keys.queryTransform === null && keys.quantizer === null && values.quantizer === null;
}

/** The same transforms without any quantization: what calibration of the weights sees. */
export function withoutQuantizers(activations: LayerActivations): LayerActivations {
  const input = ({ transform }: LinearInput): LinearInput => ({ transform, quantizer: null });
  return {
    attentionInput: input(activations.attentionInput),
    attentionOutput: input(activations.attentionOutput),
    mlpInput: input(activations.mlpInput),
    mlpOutput: input(activations.mlpOutput),
    keys: { ...activations.keys, quantizer: null },
    values: { quantizer: null },
  };
}

/** The same quantizers without any transform. */
export function withoutTransforms({ keys, values, ...inputs }: LayerActivations): LayerActivations {
  const input = ({ quantizer }: LinearInput): LinearInput => ({ transform: null, quantizer });
  return {
    attentionInput: input(inputs.attentionInput),
    attentionOutput: input(inputs.attentionOutput),
    mlpInput: input(inputs.mlpInput),
    mlpOutput: input(inputs.mlpOutput),
    keys: { transform: null, queryTransform: null, quantizer: keys.quantizer },
    values,
  };
}

interface Matrices {
  left: tf.Tensor2D | null;
  right: tf.Tensor2D | null;
}

/** A layer's activations with their matrices on the backend. */
export class ActivationOps {
  readonly settings: LayerActivations;
  private readonly sites: Record<InputSite, Matrices>;
  private readonly keyTransform: tf.Tensor2D | null;
  private readonly queryTransform: tf.Tensor2D | null;

  constructor(settings: LayerActivations) {
    this.settings = settings;
    this.sites = Object.fromEntries(inputSites.map((site) => [site, matricesOf(settings[site].transform)])) as Record<InputSite, Matrices>;
    this.keyTransform = squareMatrix(settings.keys.transform);
    this.queryTransform = squareMatrix(settings.keys.queryTransform);
  }

  /** @param x [rows, in] */
  transform(site: InputSite, x: tf.Tensor2D): tf.Tensor2D {
    const { left, right } = this.sites[site];
    return left || right ? kronecker(x, left, right) : x;
  }

  /** @param x [rows, in], transformed */
  quantize(site: InputSite, x: tf.Tensor2D): tf.Tensor2D {
    const { quantizer } = this.settings[site];
    return quantizer ? quantizeTokens(x, quantizer) : x;
  }

  /** Queries, as attention reads them. @param q [..., headDim] after rotary embedding */
  queries<T extends tf.Tensor>(q: T): T {
    return this.queryTransform ? timesMatrix(q, this.queryTransform) : q;
  }

  /** Keys as they are cached. @param k [..., headDim] after rotary embedding */
  keys<T extends tf.Tensor>(k: T): T {
    const transformed = this.keyTransform ? timesMatrix(k, this.keyTransform) : k;
    const { quantizer } = this.settings.keys;
    return quantizer ? quantizeTokens(transformed, quantizer) : transformed;
  }

  /** Values as they are cached. @param v [..., headDim] */
  values<T extends tf.Tensor>(v: T): T {
    const { quantizer } = this.settings.values;
    return quantizer ? quantizeTokens(v, quantizer) : v;
  }

  dispose(): void {
    const matrices = Object.values(this.sites).flatMap(({ left, right }) => [left, right]);
    tf.dispose([...matrices, this.keyTransform, this.queryTransform].filter((tensor) => tensor !== null));
  }
}

function matricesOf(transform: KroneckerTransform | null): Matrices {
  return { left: squareMatrix(transform?.left ?? null), right: squareMatrix(transform?.right ?? null) };
}

function squareMatrix(values: Float32Array | null): tf.Tensor2D | null {
  if (!values) return null;
  const size = Math.round(Math.sqrt(values.length));
  return tf.keep(tf.tensor2d(values, [size, size]));
}

function timesMatrix<T extends tf.Tensor>(x: T, matrix: tf.Tensor2D): T {
  return tf.tidy(() => tf.reshape(tf.matMul(tf.reshape(x, [-1, matrix.shape[0]]) as tf.Tensor2D, matrix), x.shape)) as T;
}
