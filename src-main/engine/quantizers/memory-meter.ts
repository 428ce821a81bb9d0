/**
 * Largest resident memory of this process, and its largest share of the GPU's memory, while something runs. Linux keeps the high-water mark itself (VmHWM) and lets a process reset its
 * own; where that is not possible, resident memory is sampled, which can miss a short peak.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { openedGpu } from '../backends/webgpu/device.ts';

const sampleMs = 100;

export interface MemoryPeaks {
  peakMemoryBytes: number;
  /** Absent where nothing computes on a GPU of ours. */
  peakGpuMemoryBytes?: number;
}

export class MemoryMeter {
  private readonly isExact: boolean;
  private readonly timer: NodeJS.Timeout;
  private sampled = process.memoryUsage.rss();

  constructor() {
    this.isExact = resetHighWater();
    this.timer = setInterval(() => this.sample(), sampleMs);
    this.timer.unref();
    activeGpu()?.memory.resetPeak();
  }

  /** The peak so far, in bytes. */
  peak(): number {
    this.sample();
    return Math.max(this.sampled, (this.isExact && readHighWater()) || 0);
  }

  peaks(): MemoryPeaks {
    const gpu = activeGpu();
    return { peakMemoryBytes: this.peak(), ...(gpu ? { peakGpuMemoryBytes: gpu.memory.peakBytes } : {}) };
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private sample(): void {
    this.sampled = Math.max(this.sampled, process.memoryUsage.rss());
  }
}

/** The GPU that the active backend computes on. */
export function activeGpu() {
  return tf.getBackend() === 'webgpu' ? openedGpu() : null;
}

/** Whether the mark now starts from the present. */
function resetHighWater(): boolean {
  if (process.platform !== 'linux') return false;
  try {
    writeFileSync('/proc/self/clear_refs', '5');
    return true;
  } catch {
    return false;
  }
}

function readHighWater(): number | null {
  try {
    const kibibytes = /^VmHWM:\s*(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    return kibibytes === undefined ? null : 1024 * Number(kibibytes);
  } catch {
    return null;
  }
}
