/**
 * What this process holds of the GPU's memory, counted where buffers are made, against what it may have. Drivers answer the allocation that
 * does not fit out of band, late, or by swapping; here it is refused at once, after the tensor library's unused buffers have been given back.
 */

import { RoundoffError } from '#contract/errors.ts';
import { gigabytes, usableMemoryBytes } from '../../usable-memory.ts';
import { listVulkanGpus } from './vulkan.ts';

/** Buffers that the tensor library keeps for tensors to come. */
export interface BufferPool {
  unusedBytes(): number;
  /** Destroys them. */
  trim(): void;
}

/** Sets the budget, in gigabytes (10⁹ bytes), for a GPU that others use too. */
const budgetVariable = 'ROUNDOFF_GPU_MEMORY';
/** Of the budget; the rest is for pipelines, transfers and buffers that the GPU has not let go of yet. */
const usableShare = 0.95;
/** Of the machine's memory, where the GPU has none of its own: Metal's recommended working set, and what a software adapter can take. */
const sharedMemory = { apple: 0.65, software: 0.8 };

export class GpuMemory {
  /** Null where it is not known. */
  readonly budgetBytes: number | null;
  private readonly name: string;
  private pool: BufferPool | null = null;
  private held = 0;
  private peak = 0;
  private readonly collected = new FinalizationRegistry<number>((size) => this.release(size));

  constructor(name: string, budgetBytes: number | null) {
    this.name = name;
    this.budgetBytes = budgetBytes;
  }

  /** Bytes of all buffers in the GPU's memory, unused ones of the pool included. */
  get heldBytes(): number {
    return this.held;
  }

  /** Bytes of the buffers in use. */
  get usedBytes(): number {
    return this.held - (this.pool?.unusedBytes() ?? 0);
  }

  /** The most bytes that were in use at once since the start or `resetPeak`. */
  get peakBytes(): number {
    return this.peak;
  }

  resetPeak(): void {
    this.peak = this.usedBytes;
  }

  /** Counts every buffer made on the device from now on. Its `createBuffer` throws RoundoffError `out-of-memory` for one that does not fit. */
  watch(device: GPUDevice): void {
    const create = device.createBuffer.bind(device);
    device.createBuffer = (descriptor) => {
      if (isHostBuffer(descriptor.usage)) return create(descriptor);
      this.requireRoom(descriptor.size);
      const buffer = create(descriptor);
      this.count(buffer, descriptor.size);
      return buffer;
    };
  }

  /** Makes a pool's unused buffers count as free; `notePeak` is to be called when it hands out a buffer. */
  usePool(pool: BufferPool): void {
    this.pool = pool;
  }

  notePeak(): void {
    this.peak = Math.max(this.peak, this.usedBytes);
  }

  private count(buffer: GPUBuffer, size: number): void {
    this.held += size;
    this.notePeak();
    const destroy = buffer.destroy.bind(buffer);
    this.collected.register(buffer, size, buffer);
    let isHeld = true;
    buffer.destroy = () => {
      if (isHeld) this.release(size);
      isHeld = false;
      this.collected.unregister(buffer);
      return destroy();
    };
  }

  private release(size: number): void {
    this.held -= size;
  }

  private requireRoom(size: number): void {
    if (this.budgetBytes === null || this.held + size <= this.budgetBytes) return;
    this.pool?.trim();
    if (this.held + size <= this.budgetBytes) return;
    throw new RoundoffError(
      'out-of-memory',
      `The GPU ${this.name} cannot hold ${gigabytes(size)} more: ${gigabytes(this.held)} of the ${gigabytes(this.budgetBytes)} that this process may use are in use.`,
      `Lower the batch size or the number of slots, quantize the base weights, use activation checkpointing, close other programs that use the GPU, or choose the wasm backend. Everything up to the last checkpoint is kept. ${budgetVariable} sets another limit, in GB.`,
    );
  }
}

/** Buffers that the processor maps lie in its memory. */
export function isHostBuffer(usage: GPUBufferUsageFlags): boolean {
  return (usage & (GPUBufferUsage.MAP_READ | GPUBufferUsage.MAP_WRITE)) !== 0;
}

/** What this process may hold of a GPU's memory; null where nothing says. @throws RoundoffError `bad-input` for a wrong `ROUNDOFF_GPU_MEMORY` */
export function gpuMemoryBudget({ info }: GPUAdapter, { software }: { software: boolean }): number | null {
  const chosen = chosenBudget();
  if (chosen !== null) return chosen;
  const machine = usableMemoryBytes();
  if (process.platform === 'darwin') return Math.floor(sharedMemory.apple * machine);
  const gpus = listVulkanGpus() ?? [];
  const gpu = gpus.find(({ name }) => plain(name) === plain(info.device) || plain(name) === plain(info.description));
  const own = (gpu ?? (gpus.length === 1 ? gpus[0] : undefined))?.budgetBytes ?? null;
  if (!software) return own === null ? null : Math.floor(usableShare * own);
  return Math.floor(Math.min(own ?? Infinity, sharedMemory.software * machine));
}

function chosenBudget(): number | null {
  const text = process.env[budgetVariable];
  if (!text) return null;
  const budget = Number(text) * 1e9;
  if (budget > 0 && Number.isFinite(budget)) return budget;
  throw new RoundoffError('bad-input', `${budgetVariable} is "${text}", which is no number of GB.`, 'Set it to 8, say, or unset it.');
}

/** WebGPU gives names in lower case, with one dash for whatever is no letter or digit. */
function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
}
