/** A quantized linear in whichever form it is stored: codes on integer grids, or NF4. */
import { dequantizeNf4, type Nf4Linear, nf4Bytes } from './nf4.ts';
import { dequantizeLinear, type PackedLinear, packedLinearBytes } from './packed-linear.ts';

export type StoredLinear = PackedLinear | Nf4Linear;

/** The weights [out, in] it stands for. */
export function dequantizeStored(linear: StoredLinear): Float32Array {
  return linear.coding === 'nf4' ? dequantizeNf4(linear) : dequantizeLinear(linear);
}

/** Bytes of its stored tensors. */
export function storedLinearBytes(linear: StoredLinear): number {
  return linear.coding === 'nf4' ? nf4Bytes({ ...linear, isNested: linear.nested !== null }) : packedLinearBytes(linear);
}
