/** How much of the device a figure used: the time that the needed bytes and operations take at the measured peaks, over the time taken. */
import type { Peaks } from '../../engine/bench/peaks.ts';
import { type PeerCaseId, type PeerSizes, peerCase } from './cases.ts';
import type { PeerRow } from './index.ts';

export interface Roofline {
  bytes: number;
  flops: number;
  /** What limits the case at the peaks. */
  bound: 'memory' | 'arithmetic';
  share: number;
}

/**
 * The highest arithmetic rate that anyone reached in this run: registers for float32, and the fastest matrix product of any contestant, which
 * stands for units that only matrix products reach.
 */
export function peakFlops(rows: readonly PeerRow[], peaks: Peaks | null): number | null {
  const products = rows
    .filter(({ id }) => id.startsWith('gemm'))
    .flatMap(({ ours, peers }) => [...(ours ? [ours] : []), ...peers.map(({ figure }) => figure)])
    .map(({ value }) => value * 1e9);
  const rates = [...products, ...(peaks?.flopsPerSecond ? [peaks.flopsPerSecond] : [])];
  return rates.length === 0 ? null : Math.max(...rates);
}

/** Null where need or peak is not known. */
export function rooflineOf(
  id: PeerCaseId,
  value: number,
  sizes: PeerSizes,
  peaks: Peaks | null,
  flopsPeak: number | null,
): Roofline | null {
  const entry = peerCase(id);
  const need = entry.need(sizes);
  if (!need || !peaks || flopsPeak === null) return null;
  const memorySeconds = need.bytes / Math.max(peaks.readBytesPerSecond, peaks.copyBytesPerSecond);
  // The float32 product is held against float32, not against what half precision reaches.
  const arithmeticSeconds = need.flops / (id === 'gemm-f32' ? (peaks.flopsPerSecond ?? flopsPeak) : flopsPeak);
  const bound = memorySeconds > arithmeticSeconds ? 'memory' : 'arithmetic';
  return { ...need, bound, share: Math.max(memorySeconds, arithmeticSeconds) / entry.seconds(value, sizes) };
}
