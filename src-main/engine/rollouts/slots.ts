/** How many sequences are generated side by side. */
import type { ModelConfig } from '../model/config.ts';

const defaultSlots = 64;
/** Most memory that keys and values of all slots may take. */
const cacheBytes = 2 * 1024 ** 3;

/** Keys and values are float32, in every layer. */
export function affordableSlots(config: ModelConfig, capacity: number): number {
  const bytesPerSlot = config.layers * 2 * config.kvHeads * config.headDim * 4 * capacity;
  return Math.max(1, Math.min(defaultSlots, Math.floor(cacheBytes / bytesPerSlot)));
}
