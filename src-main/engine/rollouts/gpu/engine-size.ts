/**
 * What a decode engine takes of the GPU's memory, and how many slots there is room for: counted by the functions that make its buffers. Norms,
 * transforms and tables of some bytes are left out.
 */
import { mostHeldBytes } from '../../backends/webgpu/most-held-bytes.ts';
import type { ModelConfig } from '../../model/config.ts';
import { tablePositions } from '../../model/rotary-cache.ts';
import { gigabytes } from '../../usable-memory.ts';
import { CountedBuffers } from './buffers.ts';
import { cacheBytes } from './kernels/cache.ts';
import { cacheShape, type EngineShape, withSlots } from './shape.ts';
import { createStack, stackNames, type WeightPlan } from './weights.ts';
import { createWorkspace } from './workspace.ts';

/** What there is for an engine. */
export interface EngineRoom {
  /** Of the GPU's memory that this process may hold; null where nothing says. */
  budgetBytes: number | null;
  /** Of it, what others hold. */
  takenBytes: number;
  /** The most that one kernel reads of a buffer. */
  bindingBytes: number;
}

/** Of the budget, left to the tensor library's work beside an engine of several slots. */
const spareShare = 0.05;

export function engineBytes(shape: EngineShape, plan: WeightPlan): number {
  return countEngine(shape, plan).sizeBytes;
}

/**
 * What making an engine takes beside it and the model: the model's rotary tables, and linears in float32 on their way.
 * @param unpackedBytes of all linears that go this way, in float32
 */
export function besideEngineBytes(config: ModelConfig, capacity: number, unpackedBytes: number): number {
  return rotaryBytes(config, capacity) + Math.min(mostHeldBytes, unpackedBytes);
}

/** Most slots, up to those of the shape, that there is room for; 0 where there is not even for one. */
export function fittingSlots(shape: EngineShape, plan: WeightPlan, { budgetBytes, takenBytes, bindingBytes }: EngineRoom): number {
  const fits = (slots: number) => {
    const { sizeBytes, largestBoundBytes } = countEngine(withSlots(shape, slots), plan);
    const share = slots === 1 ? 1 : 1 - spareShare;
    return takenBytes + sizeBytes <= share * (budgetBytes ?? Infinity) && largestBoundBytes <= bindingBytes;
  };
  let slots = shape.slots;
  while (slots > 0 && !fits(slots)) slots--;
  return slots;
}

/** Why an engine of one slot does not fit, as a sentence. */
export function tooLargeText(shape: EngineShape, plan: WeightPlan, { budgetBytes, takenBytes, bindingBytes }: EngineRoom): string {
  const { sizeBytes, largestBoundBytes } = countEngine(withSlots(shape, 1), plan);
  if (largestBoundBytes > bindingBytes)
    return `Generating sequences of ${shape.capacity} tokens takes a buffer of ${gigabytes(largestBoundBytes)}, of which the GPU reads at most ${gigabytes(bindingBytes)} at once.`;
  return overBudgetText('a single sequence', shape.capacity, takenBytes + sizeBytes, budgetBytes ?? 0);
}

export function overBudgetText(what: string, capacity: number, neededBytes: number, budgetBytes: number): string {
  return `Generating ${what} of ${capacity} tokens takes about ${gigabytes(neededBytes)} of the GPU's memory, of which a process may hold ${gigabytes(budgetBytes)}.`;
}

export const tooLargeHint =
  'Lower the number of new tokens, quantize the model, close other programs that use the GPU, or choose the wasm backend. ROUNDOFF_GPU_MEMORY sets another limit, in GB.';

/** What is said where fewer sequences are generated side by side than usual. */
export function fewerSlotsText(slots: number, wanted: number, shape: EngineShape): string {
  return `The GPU's memory has room for ${slots} sequences of ${shape.capacity} tokens side by side, not for ${wanted}: generation takes longer.`;
}

function countEngine(shape: EngineShape, plan: WeightPlan): CountedBuffers {
  const buffers = new CountedBuffers();
  createWorkspace(shape, buffers);
  buffers.storage('rotary tables', rotaryBytes(shape.config, shape.capacity));
  for (const stack of [plan.embedding, ...(plan.head ? [plan.head] : [])]) createStack(stack, buffers);
  for (const [index, stacks] of plan.layers.entries()) {
    for (const name of stackNames) createStack(stacks[name], buffers);
    const cache = cacheShape(shape, index);
    buffers.bound('keys', cacheBytes(cache.keys, cache));
    buffers.bound('values', cacheBytes(cache.values, cache));
  }
  return buffers;
}

/** Of cosines and sines together. */
function rotaryBytes({ headDim }: ModelConfig, capacity: number): number {
  return 4 * tablePositions(capacity) * headDim;
}
