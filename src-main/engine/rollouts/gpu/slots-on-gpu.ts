/** How many slots a decode engine gets on the GPU of this process, beside what is held there already. */
import { RoundoffError } from '#contract/errors.ts';
import { gpu } from '../../backends/webgpu/device.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import { decoderLinears, linearShape } from '../../model/parameters.ts';
import type { SlotOptions } from '../slots.ts';
import { besideEngineBytes, fewerSlotsText, fittingSlots, tooLargeHint, tooLargeText } from './engine-size.ts';
import { engineShape } from './shape.ts';
import { planWeights } from './weights.ts';

/** Up to `wanted`; fewer are said in the log. @throws RoundoffError `out-of-memory` where there is no room for one */
export async function slotsOnGpu(model: LanguageModel, wanted: number, options: SlotOptions): Promise<number> {
  const { capacity, reservedBytes = 0, onLog } = options;
  const { memory, device } = gpu();
  const plan = await planWeights(model, 'lossless');
  const shape = engineShape(model.config, model.layerActivations(), { slots: wanted, capacity });
  const room = {
    budgetBytes: memory.budgetBytes,
    takenBytes: Math.max(memory.usedBytes, reservedBytes) + besideEngineBytes(model.config, capacity, unpackedBytes(model)),
    bindingBytes: device.limits.maxStorageBufferBindingSize,
  };
  const slots = fittingSlots(shape, plan, room);
  if (slots === 0) throw new RoundoffError('out-of-memory', tooLargeText(shape, plan, room), tooLargeHint);
  if (slots < wanted) onLog?.(fewerSlotsText(slots, wanted, shape));
  return slots;
}

/** Bytes of the linears that are expanded to float32 on their way into the engine. */
function unpackedBytes(model: LanguageModel): number {
  let bytes = 0;
  for (const module of decoderLinears(model.config)) {
    const { kind } = model.linear(module);
    const [outFeatures, inFeatures] = linearShape(model.config, module);
    if (kind !== 'dense' && kind !== 'packed') bytes += 4 * outFeatures * inFeatures;
  }
  return bytes;
}
