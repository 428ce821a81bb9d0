/** What a decode engine on the GPU is made for: sizes that its buffers and shaders depend on. */
import type { ModelConfig } from '../../model/config.ts';
import {
  type InputSite,
  inputSites,
  type KroneckerTransform,
  type LayerActivations,
  type TokenQuantizer,
} from '../../model/layer-activations.ts';
import type { CacheType } from '../settings.ts';
import { largestHead } from './kernels/attention.ts';
import type { CacheKind, CacheShape } from './kernels/cache.ts';
import { largestLeft, type TransformShape } from './kernels/transform.ts';

export interface EngineShape {
  config: ModelConfig;
  slots: number;
  /** Positions per slot. */
  capacity: number;
  /** Most prompt tokens in one pass. */
  promptRows: number;
  /** Most decode steps in one submit. */
  steps: number;
  /** Of keys and values that are not held as codes. */
  cache: CacheType;
  /** By layer; null for plain ones. */
  activations: (ActivationShape | null)[];
}

/** What is done to a layer's activations, but for the entries of matrices and the clip factors of quantizers, which come with the weights. */
export interface ActivationShape {
  /** Of what each product reads. */
  transforms: Record<InputSite, TransformShape | null>;
  /** Of queries and keys. */
  headTransforms: { queries: boolean; keys: boolean };
  quantizers: Record<InputSite | 'keys' | 'values', QuantizerShape | null>;
}

const mostPromptRows = 512;
const defaultSteps = 8;

export interface ShapeOptions {
  slots: number;
  capacity: number;
  stepsPerSubmit?: number;
  cacheType?: CacheType;
}

export function engineShape(config: ModelConfig, activations: readonly (LayerActivations | null)[], options: ShapeOptions): EngineShape {
  const { slots, capacity, stepsPerSubmit: steps = defaultSteps, cacheType: cache = 'float32' } = options;
  return {
    config,
    slots,
    capacity,
    promptRows: Math.min(mostPromptRows, slots * capacity),
    steps,
    cache,
    activations: activations.map(activationShape),
  };
}

/** The same for another number of slots. */
export function withSlots(shape: EngineShape, slots: number): EngineShape {
  return { ...shape, slots, promptRows: Math.min(mostPromptRows, slots * shape.capacity) };
}

export type QuantizerShape = Pick<TokenQuantizer, 'bits' | 'symmetric' | 'outlierThreshold'>;

export function activationShape(layer: LayerActivations | null): ActivationShape | null {
  if (!layer) return null;
  const quantizer = (of: TokenQuantizer | null): QuantizerShape | null =>
    of && { bits: of.bits, symmetric: of.symmetric, outlierThreshold: of.outlierThreshold };
  const names = [...inputSites, 'keys', 'values'] as const;
  return {
    transforms: Object.fromEntries(
      inputSites.map((site) => [site, transformShape(layer[site].transform)]),
    ) as ActivationShape['transforms'],
    headTransforms: { queries: layer.keys.queryTransform !== null, keys: layer.keys.transform !== null },
    quantizers: Object.fromEntries(names.map((name) => [name, quantizer(layer[name].quantizer)])) as ActivationShape['quantizers'],
  };
}

function transformShape(transform: KroneckerTransform | null): TransformShape | null {
  if (!transform?.left && !transform?.right) return null;
  const { rows, columns, left, right } = transform;
  return { rows, columns, left: left !== null, right: right !== null };
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

/** The cache of one layer. */
export function cacheShape({ config, slots, capacity, cache, activations }: EngineShape, layer: number): CacheShape {
  const kindOf = (quantizer: QuantizerShape | null | undefined): CacheKind => {
    // Values that a quantizer leaves as they are have no code.
    if (!quantizer || quantizer.outlierThreshold !== null || quantizer.bits > 8) return quantizer ? 'float32' : cache;
    return quantizer.bits > 4 ? 'int8' : 'int4';
  };
  const own = activations[layer]?.quantizers;
  return { keys: kindOf(own?.keys), values: kindOf(own?.values), slots, kvHeads: config.kvHeads, headDim: config.headDim, capacity };
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
  for (const layer of activations) {
    const large = layer && inputSites.find((site) => layer[site].transform?.left && layer[site].transform.rows > largestLeft);
    if (large) return `a transform's left factor has ${layer[large].transform!.rows} rows, more than ${largestLeft}`;
  }
  return null;
}
