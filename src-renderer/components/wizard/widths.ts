/** What a grid of weight bits and granularities leaves open: zero point, activations, keys and values. Pure. */
import type { QuantizationMethod } from '#contract/recipe.ts';
import type { Bits, QuantizationScheme } from '#contract/scheme.ts';
import { methodInfo } from '../../format/method-info.ts';

export interface Widths {
  symmetric: boolean;
  /** Null keeps them in float. */
  activationBits: Bits | null;
  kvBits: Bits | null;
}

/** Those of the method's first chosen scheme, else the ones it is usually used with. */
export function startingWidths(method: QuantizationMethod, schemes: readonly QuantizationScheme[]): Widths {
  const first = schemes[0];
  if (first)
    return {
      symmetric: first.symmetric,
      activationBits: first.coding ? null : (first.activationBits ?? null),
      kvBits: first.kvBits ?? null,
    };
  const { activationBits, kvBits } = methodInfo[method].usual;
  return { symmetric: activationBits !== null, activationBits, kvBits };
}

/** As the written form has it: weights are symmetric where activations are quantized too. */
export function withActivations(widths: Widths, activationBits: Bits | null): Widths {
  const follows = widths.symmetric === (widths.activationBits !== null);
  return { ...widths, activationBits, symmetric: follows ? activationBits !== null : widths.symmetric };
}

export function integerScheme(bits: Bits, groupSize: number | null, widths: Widths): QuantizationScheme {
  return {
    bits,
    symmetric: widths.symmetric,
    strategy: groupSize === null ? 'channel' : 'group',
    groupSize,
    ...(widths.activationBits === null ? {} : { activationBits: widths.activationBits }),
    ...(widths.kvBits === null ? {} : { kvBits: widths.kvBits }),
  };
}
