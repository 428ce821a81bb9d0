/**
 * How a linear of the decoder computes: dense weights, fake-quantized weights, or packed codes. The model calls `apply` and does not
 * know which; a quantizer or loader chooses with `LanguageModel.setLinear`.
 */
import * as tf from '@tensorflow/tfjs-core';
import { dequantizeStored, type StoredLinear } from '../formats/stored-linear.ts';
import { linear } from '../ops/index.ts';

export interface LinearOp {
  readonly kind: 'dense' | 'fake-quantized' | 'packed';
  /** [rows, in] → [rows, out], bias included. */
  apply(input: tf.Tensor2D): tf.Tensor2D;
  /** The float weights [out, in] this op computes with. The caller disposes the result. */
  weight(): tf.Tensor2D;
  /** [out], or null. Owned by the model. */
  bias(): tf.Tensor1D | null;
  /** The stored form, when there is one. */
  readonly packed: StoredLinear | null;
  /** Frees what the op itself owns; parameters of the model are not touched. */
  dispose(): void;
}

/** Parameters by Hugging Face name; linears are [out, in]. */
export type ParameterMap = Map<string, tf.Tensor>;

/** Computes with `module.weight` of the model's parameters, whatever tensor is there at the time of the call. */
export class DenseLinear implements LinearOp {
  readonly kind = 'dense';
  readonly packed = null;
  private readonly parameters: ParameterMap;
  private readonly module: string;

  constructor(parameters: ParameterMap, module: string) {
    this.parameters = parameters;
    this.module = module;
  }

  apply(input: tf.Tensor2D): tf.Tensor2D {
    return linear(input, this.parameters.get(`${this.module}.weight`) as tf.Tensor2D, this.bias());
  }

  weight(): tf.Tensor2D {
    return tf.clone(this.parameters.get(`${this.module}.weight`) as tf.Tensor2D);
  }

  bias(): tf.Tensor1D | null {
    return (this.parameters.get(`${this.module}.bias`) as tf.Tensor1D | undefined) ?? null;
  }

  dispose(): void {}
}

/** Computes with weights that pass through `transform` (quantize and dequantize) at every call; gradients flow by the transform's own rule. */
export class FakeQuantizedLinear implements LinearOp {
  readonly kind = 'fake-quantized';
  readonly packed = null;
  private readonly dense: DenseLinear;
  private readonly transform: (weight: tf.Tensor2D) => tf.Tensor2D;

  constructor(parameters: ParameterMap, module: string, transform: (weight: tf.Tensor2D) => tf.Tensor2D) {
    this.dense = new DenseLinear(parameters, module);
    this.transform = transform;
  }

  apply(input: tf.Tensor2D): tf.Tensor2D {
    return tf.tidy(() => linear(input, this.weight(), this.bias()));
  }

  weight(): tf.Tensor2D {
    return tf.tidy(() => this.transform(this.dense.weight()));
  }

  bias(): tf.Tensor1D | null {
    return this.dense.bias();
  }

  dispose(): void {}
}

/**
 * Computes with a stored quantized linear. The weights are dequantized once, which is exact in float32, so that every backend gives
 * the result of the stored codes; a backend with packed kernels replaces this class behind the same interface.
 */
export class PackedLinearOp implements LinearOp {
  readonly kind = 'packed';
  readonly packed: StoredLinear;
  private readonly parameters: ParameterMap;
  private readonly module: string;
  private readonly weights: tf.Tensor2D;

  constructor(parameters: ParameterMap, module: string, packed: StoredLinear) {
    this.parameters = parameters;
    this.module = module;
    this.packed = packed;
    this.weights = tf.keep(tf.tensor2d(dequantizeStored(packed), [packed.outFeatures, packed.inFeatures]));
  }

  apply(input: tf.Tensor2D): tf.Tensor2D {
    return linear(input, this.weights, this.bias());
  }

  weight(): tf.Tensor2D {
    return tf.clone(this.weights);
  }

  bias(): tf.Tensor1D | null {
    return (this.parameters.get(`${this.module}.bias`) as tf.Tensor1D | undefined) ?? null;
  }

  dispose(): void {
    this.weights.dispose();
  }
}
