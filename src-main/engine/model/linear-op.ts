/**
 * How a linear of the decoder computes: dense weights, fake-quantized weights, or packed codes. The model calls `apply` and does not
 * know which; a quantizer or loader chooses with `LanguageModel.setLinear`.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { Nf4Linear } from '../formats/nf4.ts';
import type { PackedLinear } from '../formats/packed-linear.ts';
import type { StoredLinear } from '../formats/stored-linear.ts';
import { dequantizeWeight, disposePacked, linear, type PackedWeight, packedLinear, packWeight, unpackWeight } from '../ops/index.ts';

export interface LinearOp {
  readonly kind: 'dense' | 'half' | 'fake-quantized' | 'packed' | 'lora';
  /** [rows, in] → [rows, out], bias included. */
  apply(input: tf.Tensor2D): tf.Tensor2D;
  /** The float weights [out, in] this op computes with. The caller disposes the result. */
  weight(): tf.Tensor2D;
  /** [out], or null. Owned by the model. */
  bias(): tf.Tensor1D | null;
  /** The stored form, read back from the backend; null when there is none. */
  stored(): Promise<StoredLinear | null>;
  /** Frees what the op itself owns; parameters of the model are not touched. */
  dispose(): void;
}

/** Parameters by Hugging Face name; linears are [out, in]. */
export type ParameterMap = Map<string, tf.Tensor>;

/** Computes with `module.weight` of the model's parameters, whatever tensor is there at the time of the call. */
export class DenseLinear implements LinearOp {
  readonly kind = 'dense';
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

  async stored(): Promise<null> {
    return null;
  }

  dispose(): void {}
}

/** Computes with weights that pass through `transform` (quantize and dequantize) at every call; gradients flow by the transform's own rule. */
export class FakeQuantizedLinear implements LinearOp {
  readonly kind = 'fake-quantized';
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

  async stored(): Promise<null> {
    return null;
  }

  dispose(): void {}
}

/** What of a stored linear is not in the backend's memory. */
type Remainder =
  | Pick<Nf4Linear, 'coding' | 'nested'>
  | (Pick<PackedLinear, 'symmetric' | 'scaleType' | 'groupIndex'> & { coding?: 'integer' });

/** Computes with a stored quantized linear, which stays packed in the backend's memory; the same results on every backend. */
export class PackedLinearOp implements LinearOp {
  readonly kind = 'packed';
  private readonly parameters: ParameterMap;
  private readonly module: string;
  /** What it computes with. */
  readonly packed: PackedWeight;
  private readonly remainder: Remainder;

  constructor(parameters: ParameterMap, module: string, stored: StoredLinear) {
    this.parameters = parameters;
    this.module = module;
    this.packed = packWeight(stored);
    if (stored.coding === 'nf4') this.remainder = { coding: 'nf4', nested: stored.nested };
    else {
      const { symmetric, groupIndex, scaleType } = stored;
      this.remainder = { symmetric, groupIndex, ...(scaleType ? { scaleType } : {}) };
    }
  }

  apply(input: tf.Tensor2D): tf.Tensor2D {
    return packedLinear(input, this.packed, this.bias());
  }

  weight(): tf.Tensor2D {
    return tf.tidy(() => dequantizeWeight(this.packed));
  }

  bias(): tf.Tensor1D | null {
    return (this.parameters.get(`${this.module}.bias`) as tf.Tensor1D | undefined) ?? null;
  }

  async stored(): Promise<StoredLinear> {
    const { outFeatures, inFeatures, groupSize, bits } = this.packed.layout;
    const { codes, scales, zeros } = await unpackWeight(this.packed);
    if (this.remainder.coding === 'nf4') {
      return { coding: 'nf4', bits: 4, outFeatures, inFeatures, codes, absmax: scales, nested: this.remainder.nested };
    }
    return { bits: bits as PackedLinear['bits'], outFeatures, inFeatures, groupSize, codes, scales, zeros, ...this.remainder };
  }

  dispose(): void {
    disposePacked(this.packed);
  }
}
