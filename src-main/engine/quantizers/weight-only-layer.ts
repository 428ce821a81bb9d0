/** One decoder layer of a method that looks at weights alone: each linear is quantized by itself. */
import { setImmediate } from 'node:timers/promises';
import type { QuantizeStage } from '#contract/recipe.ts';
import type { QuantizationScheme } from '#contract/scheme.ts';
import { throwIfCancelled } from '../data/cancellation.ts';
import { dequantizeStored, type StoredLinear } from '../formats/stored-linear.ts';
import { PackedLinearOp } from '../model/linear-op.ts';
import { layerLinears } from '../model/parameters.ts';
import type { WeightShape } from '../observers/weight-observer.ts';
import {
  differences,
  type LayerQuantizer,
  type MethodContext,
  meanSquare,
  naming,
  type QuantizedLinear,
  readWeight,
} from './layer-quantizer.ts';
import { activationsFor, schemeOf } from './scheme-map.ts';

export type WeightOnlyContext = Pick<MethodContext, 'model' | 'signal' | 'onLinear'> & { stage: QuantizeStage };

/** Quantizes one weight [out, in]. */
export type RoundWeight = (weight: Float32Array, shape: WeightShape, scheme: QuantizationScheme) => StoredLinear;

export function weightOnlyQuantizer(context: WeightOnlyContext, round: RoundWeight): LayerQuantizer {
  return {
    advance: 'quantized',
    async layer(index) {
      const linears = await quantizeEachLinear(context, index, round);
      return { linears, parameters: new Map(), activations: activationsFor(context.stage, index) };
    },
  };
}

/** Quantizes the linears of layer `index` as the model holds them now, each in its scheme, and sets them on the model. */
export async function quantizeEachLinear(context: WeightOnlyContext, index: number, round: RoundWeight): Promise<QuantizedLinear[]> {
  const { model, stage, signal, onLinear } = context;
  const done: QuantizedLinear[] = [];
  for (const name of layerLinears) {
    const module = `model.layers.${index}.${name}`;
    const scheme = schemeOf(stage, module);
    if (!scheme) continue;
    await setImmediate();
    throwIfCancelled(signal, 'Quantization');
    const { weight, shape } = await readWeight(model, module);
    const packed = await naming(module, () => round(weight, shape, scheme));
    const weightError = meanSquare(differences(weight, dequantizeStored(packed)));
    model.setLinear(module, new PackedLinearOp(model.parameters, module, packed));
    done.push({ module, packed, error: { name: module, weightError, outputError: null, outputErrorVsRtn: null }, latents: null });
    onLinear(module);
  }
  return done;
}
