/**
 * What generating with a model takes of the GPU's memory, before anything is loaded: the tensor library's copy of the weights, and beside it the
 * decode engine with as many slots as the budget has room for. Models that the engine does not cover keep their cache in tensors.
 */
import { mostHeldBytes } from '../backends/webgpu/most-held-bytes.ts';
import { decoderLinears, hasBias, linearShape } from '../model/parameters.ts';
import { loadedBytes, type StoredForms } from '../model/stored-forms.ts';
import {
  besideEngineBytes,
  type EngineRoom,
  engineBytes,
  fewerSlotsText,
  fittingSlots,
  overBudgetText,
  tooLargeText,
} from './gpu/engine-size.ts';
import { engineShape, unsupportedReason, withSlots } from './gpu/shape.ts';
import { layOutWeights, type WeightPlan } from './gpu/weights.ts';
import { mostSlots, slotsWithoutBudget } from './slots.ts';

export interface GenerationSize {
  /** Most tokens of a sequence, prompt included. */
  capacity: number;
  /** Sequences to be generated in all. */
  requests: number;
}

export interface GenerationMemory {
  bytes: number;
  /** Sequences side by side. */
  slots: number;
  /** Why there are fewer than usual, as a sentence; null where there are not. */
  fewer: string | null;
  /** Why not even one fits, as a sentence; null where it does. */
  tooLarge: string | null;
}

export type GpuRoom = Omit<EngineRoom, 'takenBytes'>;

/** @param heldBytes what others hold meanwhile, the model included; the model's own weights when left out */
export function estimateGeneration(
  forms: StoredForms,
  { capacity, requests }: GenerationSize,
  room: GpuRoom,
  heldBytes = loadedBytes(forms),
): GenerationMemory {
  const { config, activations } = forms;
  const wanted = Math.max(1, Math.min(mostSlots, requests));
  const affordable = Math.min(wanted, slotsWithoutBudget(config, capacity));
  if (unsupportedReason(config, activations) !== null) {
    const bytes = heldBytes + tensorCacheBytes(forms, affordable, capacity);
    const { budgetBytes } = room;
    const isOver = budgetBytes !== null && bytes > budgetBytes;
    return {
      bytes,
      slots: affordable,
      fewer: null,
      tooLarge: isOver ? overBudgetText(`${affordable} sequences`, capacity, bytes, budgetBytes) : null,
    };
  }
  const plan = enginePlan(forms);
  const most = room.budgetBytes === null ? affordable : wanted;
  const shape = engineShape(config, activations, { slots: most, capacity });
  const takenBytes = heldBytes + besideEngineBytes(config, capacity, unpackedBytes(forms));
  const fitting = fittingSlots(shape, plan, { ...room, takenBytes });
  const slots = Math.max(1, fitting);
  return {
    bytes: takenBytes + engineBytes(withSlots(shape, slots), plan),
    slots,
    fewer: slots < most && fitting > 0 ? fewerSlotsText(slots, most, shape) : null,
    tooLarge: fitting === 0 ? tooLargeText(shape, plan, { ...room, takenBytes }) : null,
  };
}

/** As the engine would plan the loaded weights. */
function enginePlan({ config, adapter, linear, table }: StoredForms): WeightPlan {
  return layOutWeights(config, {
    // With its update added, a linear is dense.
    linear: (module) => (adapter?.modules.has(module) ? { kind: 'float32' } : linear(module)),
    table,
    hasBias: (module) => hasBias(config, module),
  });
}

/** Bytes of the linears that are expanded to float32 on their way into the engine. */
function unpackedBytes({ config, adapter, linear }: StoredForms): number {
  let bytes = 0;
  for (const module of decoderLinears(config)) {
    const [outFeatures, inFeatures] = linearShape(config, module);
    const isHalf = ['float16', 'bfloat16'].includes(linear(module).kind);
    if (isHalf || adapter?.modules.has(module)) bytes += 4 * outFeatures * inFeatures;
  }
  return bytes;
}

/** Keys and values of all layers, of which a step replaces one layer's after the other. */
function tensorCacheBytes({ config }: StoredForms, slots: number, capacity: number): number {
  const { layers, kvHeads, headDim, vocabSize } = config;
  const layer = 4 * 2 * slots * capacity * kvHeads * headDim;
  return layers * layer + Math.min(mostHeldBytes, 3 * layers * layer) + 3 * layer + 4 * slots * vocabSize;
}
