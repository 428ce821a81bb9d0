/** Round-to-nearest of one decoder layer. */
import { setImmediate } from 'node:timers/promises';
import { throwIfCancelled } from '../data/cancellation.ts';
import { dequantizeLinear } from '../formats/packed-linear.ts';
import { PackedLinearOp } from '../model/linear-op.ts';
import { layerLinears } from '../model/parameters.ts';
import {
  differences,
  type LayerQuantizer,
  type MethodContext,
  meanSquare,
  naming,
  type QuantizedLinear,
  readWeight,
} from './layer-quantizer.ts';
import { quantizeRtn, type RtnOptions } from './rtn.ts';
import { activationsFor, schemeOf } from './scheme-map.ts';

export function rtnQuantizer(context: MethodContext<'rtn'>): LayerQuantizer {
  const { stage } = context;
  return {
    advance: 'quantized',
    async layer(index) {
      const linears = await roundLayer(context, index, { mseSearch: stage.options.mseSearch });
      return { linears, parameters: new Map(), activations: activationsFor(stage, index) };
    },
  };
}

/** Rounds the linears of layer `index` as the model holds them now, each in its scheme, and sets them on the model. */
export async function roundLayer(
  { model, stage, signal, onLinear }: Pick<MethodContext, 'model' | 'stage' | 'signal' | 'onLinear'>,
  index: number,
  options: RtnOptions,
): Promise<QuantizedLinear[]> {
  const done: QuantizedLinear[] = [];
  for (const name of layerLinears) {
    const module = `model.layers.${index}.${name}`;
    const scheme = schemeOf(stage, module);
    if (!scheme) continue;
    await setImmediate();
    throwIfCancelled(signal, 'Quantization');
    const { weight, shape } = await readWeight(model, module);
    const packed = await naming(module, () => quantizeRtn(weight, shape, scheme, options));
    const weightError = meanSquare(differences(weight, dequantizeLinear(packed)));
    model.setLinear(module, new PackedLinearOp(model.parameters, module, packed));
    done.push({ module, packed, error: { name: module, weightError, outputError: null, outputErrorVsRtn: null }, latents: null });
    onLinear(module);
  }
  return done;
}
