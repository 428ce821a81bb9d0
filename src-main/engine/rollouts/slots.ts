/** How many sequences are generated side by side. */
import * as tf from '@tensorflow/tfjs-core';
import { openedGpu } from '../backends/webgpu/device.ts';
import type { ModelConfig } from '../model/config.ts';
import type { LanguageModel } from '../model/language-model.ts';
import { unsupportedReason } from './gpu/shape.ts';
import { slotsOnGpu } from './gpu/slots-on-gpu.ts';

export interface SlotOptions {
  /** Most tokens of a sequence, prompt included. */
  capacity: number;
  /** Sequences to be generated in all. */
  requests: number;
  /** Of a GPU's memory, what others will hold while the engine is there; what they hold now when left out. */
  reservedBytes?: number;
  onLog?(message: string): void;
}

/** Sequences generated side by side where memory has room for them. */
export const mostSlots = 64;
/** Most memory that keys and values of all slots may take where nothing says how much there is. */
const cacheBytes = 2 * 1024 ** 3;

/**
 * Slots for generating with this model on the active backend: those that the budget has room for on the GPU decode engine.
 * @throws RoundoffError `out-of-memory` where that has no room for one
 */
export async function affordableSlots(model: LanguageModel, options: SlotOptions): Promise<number> {
  const wanted = Math.max(1, Math.min(mostSlots, options.requests));
  const isOnGpu = tf.getBackend() === 'webgpu' && unsupportedReason(model.config, model.layerActivations()) === null;
  const isLimited = isOnGpu && openedGpu()?.memory.budgetBytes !== null;
  const most = isLimited ? wanted : Math.min(wanted, slotsWithoutBudget(model.config, options.capacity));
  return isOnGpu ? slotsOnGpu(model, most, options) : most;
}

/** Keys and values are float32, in every layer. */
export function slotsWithoutBudget(config: ModelConfig, capacity: number): number {
  const bytesPerSlot = config.layers * 2 * config.kvHeads * config.headDim * 4 * capacity;
  return Math.max(1, Math.min(mostSlots, Math.floor(cacheBytes / bytesPerSlot)));
}
