/** How much memory this process may use on this machine, and how sizes of memory are written in messages. */
import { totalmem } from 'node:os';

/** What its control group allows, or all there is. */
export function usableMemoryBytes(): number {
  return Math.min(totalmem(), process.constrainedMemory() || Infinity);
}

/** In units of 10⁹ bytes; small ones to three decimals. */
export function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(bytes < 1e8 ? 3 : 1)} GB`;
}
