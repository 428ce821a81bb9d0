/** What a decode engine on the GPU is made for: sizes that its buffers and shaders depend on. */
import type { ModelConfig } from '../../model/config.ts';
import type { LayerActivations } from '../../model/layer-activations.ts';
import { largestHead } from './kernels/attention.ts';
import type { CacheKind, CacheShape } from './kernels/cache.ts';

export interface EngineShape {
  config: ModelConfig;
  slots: number;
  /** Positions per slot. */
  capacity: number;
  /** Most prompt tokens in one pass. */
  promptRows: number;
  /** Most decode steps in one submit. */
  steps: number;
  cache: CacheKind;
}

/** Up to this many slots, decode steps use the products for few rows; their sums are rounded differently. */
export const fewSlots = 8;

/** Rows of a decode step with `rows` sequences, as the products compute them. */
export function paddedRows(shape: EngineShape, rows: number): number {
  if (shape.slots <= fewSlots) return 2 ** Math.ceil(Math.log2(rows));
  return tileRows(rows) * Math.ceil(rows / tileRows(rows));
}

/** Rows of the tile that a product of so many rows is computed in. */
export function tileRows(rows: number): 16 | 32 | 64 {
  if (rows <= 16) return 16;
  return rows <= 32 ? 32 : 64;
}

export function cacheShape({ config, slots, capacity, cache }: EngineShape): CacheShape {
  return { kind: cache, slots, kvHeads: config.kvHeads, headDim: config.headDim, capacity };
}

const mostShared = 8;

/** Why this model cannot run on the GPU decode engine, or null. */
export function unsupportedReason(config: ModelConfig, activations: readonly (LayerActivations | null)[]): string | null {
  const { hiddenSize, intermediateSize, headDim, heads, kvHeads } = config;
  const sizes = { hidden_size: hiddenSize, intermediate_size: intermediateSize, head_dim: headDim };
  const odd = Object.entries(sizes).filter(([, size]) => size % 4 !== 0);
  if (odd.length > 0) return `${odd.map(([name, size]) => `${name} is ${size}`).join(', ')}, not a multiple of 4`;
  if (headDim > largestHead) return `head_dim is ${headDim}, more than ${largestHead}`;
  if (heads / kvHeads > mostShared) return `${heads / kvHeads} query heads share a key/value head, more than ${mostShared}`;
  if (activations.some((layer) => layer !== null)) return 'its activations are transformed or quantized';
  return null;
}
