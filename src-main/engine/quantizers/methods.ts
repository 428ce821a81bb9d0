/** The methods by name. */
import type { QuantizationMethod } from '#contract/recipe.ts';
import { awqQuantizer } from './awq-layer.ts';
import { flatquantQuantizer } from './flatquant/flatquant-layer.ts';
import { gptqQuantizer } from './gptq-layer.ts';
import { int8Quantizer } from './int8-layer.ts';
import type { LayerQuantizer, MethodContext, MethodFactory } from './layer-quantizer.ts';
import { nf4Quantizer } from './nf4-layer.ts';
import { quarotQuantizer } from './quarot.ts';
import { rtnQuantizer } from './rtn-layer.ts';

const factories: { [M in QuantizationMethod]: MethodFactory<M> } = {
  rtn: rtnQuantizer,
  gptq: gptqQuantizer,
  awq: awqQuantizer,
  nf4: nf4Quantizer,
  int8: int8Quantizer,
  quarot: quarotQuantizer,
  flatquant: flatquantQuantizer,
};

export function createLayerQuantizer(context: MethodContext): LayerQuantizer {
  const factory = factories[context.stage.method] as MethodFactory<QuantizationMethod>;
  return factory(context);
}
