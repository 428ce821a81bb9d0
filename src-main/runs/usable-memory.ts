/** How much memory a run's process may use on this machine: what its control group allows, or all there is. */
import { totalmem } from 'node:os';

export function usableMemoryBytes(): number {
  return Math.min(totalmem(), process.constrainedMemory() || Infinity);
}

export function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
