/** LLM.int8() of one decoder layer: 8-bit rows, and 8-bit inputs apart from outliers (see `activationsFor`). */
import { quantizeInt8 } from './int8.ts';
import type { LayerQuantizer, MethodContext } from './layer-quantizer.ts';
import { weightOnlyQuantizer } from './weight-only-layer.ts';

export function int8Quantizer(context: MethodContext<'int8'>): LayerQuantizer {
  return weightOnlyQuantizer(context, quantizeInt8);
}
