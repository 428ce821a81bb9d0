/** Round-to-nearest of one decoder layer. */
import { setImmediate } from 'node:timers/promises';
import type { StageOf } from '#contract/recipe.ts';
import { throwIfCancelled } from '../data/cancellation.ts';
import { dequantizeLinear } from '../formats/packed-linear.ts';
import { PackedLinearOp } from '../model/linear-op.ts';
import { layerLinears } from '../model/parameters.ts';
import {
  differences,
  type LayerQuantizer,
  type LayerResult,
  type MethodContext,
  meanSquare,
  naming,
  readWeight,
} from './layer-quantizer.ts';
import { quantizeRtn } from './rtn.ts';
import { activationsFor, schemeOf } from './scheme-map.ts';

export function rtnQuantizer({ model, stage, signal, onLinear }: MethodContext<'rtn'>): LayerQuantizer {
  return {
    advance: 'quantized',
    async layer(index) {
      const result: LayerResult = { linears: [], parameters: new Map(), activations: activationsFor(stage as StageOf<'rtn'>, index) };
      for (const name of layerLinears) {
        const module = `model.layers.${index}.${name}`;
        const scheme = schemeOf(stage, module);
        if (!scheme) continue;
        await setImmediate();
        throwIfCancelled(signal, 'Quantization');
        const { weight, shape } = await readWeight(model, module);
        const packed = await naming(module, () => quantizeRtn(weight, shape, scheme, { mseSearch: stage.options.mseSearch }));
        const weightError = meanSquare(differences(weight, dequantizeLinear(packed)));
        model.setLinear(module, new PackedLinearOp(model.parameters, module, packed));
        const error = { name: module, weightError, outputError: null, outputErrorVsRtn: null };
        result.linears.push({ module, packed, error, latents: null });
        onLinear(module);
      }
      return result;
    },
  };
}
