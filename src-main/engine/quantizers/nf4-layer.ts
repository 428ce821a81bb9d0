/** NF4 of one decoder layer, with double quantization where a module's scheme asks for it. */
import type { LayerQuantizer, MethodContext } from './layer-quantizer.ts';
import { quantizeNf4 } from './nf4.ts';
import { weightOnlyQuantizer } from './weight-only-layer.ts';

export function nf4Quantizer(context: MethodContext<'nf4'>): LayerQuantizer {
  return weightOnlyQuantizer(context, (weight, shape, { doubleQuantization = false }) =>
    quantizeNf4(weight, shape, { doubleQuantization }),
  );
}
