/** Round-to-nearest of one decoder layer. */
import type { LayerQuantizer, MethodContext, QuantizedLinear } from './layer-quantizer.ts';
import { quantizeRtn, type RtnOptions } from './rtn.ts';
import { quantizeEachLinear, type WeightOnlyContext, weightOnlyQuantizer } from './weight-only-layer.ts';

export function rtnQuantizer(context: MethodContext<'rtn'>): LayerQuantizer {
  const { mseSearch } = context.stage.options;
  return weightOnlyQuantizer(context, (weight, shape, scheme) => quantizeRtn(weight, shape, scheme, { mseSearch }));
}

/** Rounds the linears of layer `index` as the model holds them now, each in its scheme, and sets them on the model. */
export function roundLayer(context: WeightOnlyContext, index: number, options: RtnOptions): Promise<QuantizedLinear[]> {
  return quantizeEachLinear(context, index, (weight, shape, scheme) => quantizeRtn(weight, shape, scheme, options));
}
