/**
 * Where everything of a CPU decode engine lies: one WebAssembly memory, shared by the threads, holds embeddings, norms, rotary tables, the
 * key/value cache and each lane's activations. A plan is plain data, so it can be sent to a thread.
 */
import { RoundoffError } from '#contract/errors.ts';
import type { ModelConfig } from '../../model/config.ts';
import { type InputSite, inputSites, type LayerActivations, type TokenQuantizer } from '../../model/layer-activations.ts';
import { activationSizes } from '../../model/parameters.ts';
import { quantizerWords } from '../../ops/quantize-tokens/quantizer-words.ts';

/** Native session pointers of one layer's products. */
export interface LayerSessions {
  queryKeyValue: bigint;
  output: bigint;
  gateUp: bigint;
  down: bigint;
}

/** Byte offsets of what is done to the rows that a linear reads; 0 for a matrix that is the identity, or for no quantizer. */
export interface InputPlan {
  rows: number;
  columns: number;
  left: number;
  right: number;
  quantizer: number;
}

/** Byte offsets of what is done to a layer's activations; null or 0 where nothing is. */
export interface ActivationPlan extends Record<InputSite, InputPlan | null> {
  queryTransform: number;
  keyTransform: number;
  keyQuantizer: number;
  valueQuantizer: number;
}

/** Byte offsets of one layer's constants and cache. */
export interface LayerPlan {
  inputNorm: number;
  postNorm: number;
  /** 0 without query and key norms. */
  queryNorm: number;
  keyNorm: number;
  keys: number;
  values: number;
  /** Null where activations are plain. */
  activations: ActivationPlan | null;
}

/** Byte offsets of one lane's own buffers; it serves `slots` slots from `firstSlot` on. */
export interface LanePlan {
  firstSlot: number;
  slots: number;
  ids: number;
  rowSlots: number;
  positions: number;
  selected: number;
  hidden: number;
  normed: number;
  queryKeyValue: number;
  mixed: number;
  projected: number;
  gateUp: number;
  activated: number;
  final: number;
  logits: number;
  peakTokens: number;
  peakShares: number;
  scores: number;
  /** Of transforms. */
  scratch: number;
}

export interface DecodePlan {
  config: ModelConfig;
  slots: number;
  /** Positions per slot, a multiple of 16. */
  capacity: number;
  /** Most tokens of one lane's step. */
  maxRows: number;
  sizeBytes: number;
  control: number;
  embedding: number;
  finalNorm: number;
  cos: number;
  sin: number;
  layers: LayerPlan[];
  lanes: LanePlan[];
}

/** Words of the control block: stop flag, next request, then generated tokens per lane. */
export const controlWords = { stop: 0, next: 1, tokens: 2 } as const;
const maxLanes = 64;
const alignment = 64;
const heapLimit = 65536 * 65536;
/** Positions whose keys interleave; capacities are multiples of it. */
export const cacheBlock = 16;
const leastRows = 256;

/** Why this model cannot run on the CPU decode engine, or null. */
export function unsupportedReason(
  { hiddenSize, intermediateSize, headDim }: ModelConfig,
  activations: readonly (LayerActivations | null)[] = [],
): string | null {
  const sizes = { hidden_size: hiddenSize, intermediate_size: intermediateSize, head_dim: headDim };
  for (const layer of activations) {
    const odd = layer && inputSites.find((site) => (layer[site].transform?.columns ?? 0) % 4 !== 0);
    if (odd) return `a transform's right factor has ${layer[odd].transform!.columns} columns, not a multiple of 4`;
  }
  const odd = Object.entries(sizes).filter(([, size]) => size % 4 !== 0);
  return odd.length === 0 ? null : `${odd.map(([name, size]) => `${name} is ${size}`).join(', ')}, not a multiple of 4`;
}

/** Lays out the memory. @throws RoundoffError `out-of-memory` when it does not fit into 4 GiB */
export function planDecoding(
  config: ModelConfig,
  options: { slots: number; capacity: number; lanes: number; activations?: readonly (LayerActivations | null)[] },
): DecodePlan {
  const { slots, activations = [] } = options;
  const capacity = Math.ceil(options.capacity / cacheBlock) * cacheBlock;
  const lanes = Math.min(options.lanes, maxLanes, slots);
  const maxRows = Math.max(leastRows, Math.ceil(slots / lanes));
  // Offset 0 stands for "absent", so the first block is never handed out.
  let end = alignment;
  const take = (words: number): number => {
    const offset = end;
    end += Math.ceil((4 * words) / alignment) * alignment;
    return offset;
  };
  const { hiddenSize, headDim, kvHeads, vocabSize, qkNorm } = config;
  const cacheWords = slots * kvHeads * capacity * headDim;
  const plan: DecodePlan = {
    config,
    slots,
    capacity,
    maxRows,
    sizeBytes: 0,
    control: take(controlWords.tokens + maxLanes),
    embedding: take(vocabSize * hiddenSize),
    finalNorm: take(hiddenSize),
    cos: take((capacity * headDim) / 2),
    sin: take((capacity * headDim) / 2),
    layers: Array.from({ length: config.layers }, (_, index) => ({
      inputNorm: take(hiddenSize),
      postNorm: take(hiddenSize),
      queryNorm: qkNorm ? take(headDim) : 0,
      keyNorm: qkNorm ? take(headDim) : 0,
      keys: take(cacheWords),
      values: take(cacheWords),
      activations: planActivations(config, activations[index] ?? null, take),
    })),
    lanes: Array.from({ length: lanes }, (_, lane) => {
      const firstSlot = Math.floor((lane * slots) / lanes);
      return planLane(config, firstSlot, Math.floor(((lane + 1) * slots) / lanes) - firstSlot, maxRows, capacity, take);
    }),
  };
  plan.sizeBytes = end;
  if (end > heapLimit) {
    throw new RoundoffError(
      'out-of-memory',
      `Generating with ${slots} slots of ${capacity} positions needs ${(end / 2 ** 30).toFixed(1)} GiB; the CPU decode engine can address 4 GiB.`,
      'Use fewer slots or a smaller capacity.',
    );
  }
  return plan;
}

function planActivations(config: ModelConfig, layer: LayerActivations | null, take: (words: number) => number): ActivationPlan | null {
  if (!layer) return null;
  const matrix = (values: Float32Array | null) => (values ? take(values.length) : 0);
  const quantizer = (value: TokenQuantizer | null) => (value ? take(quantizerWords) : 0);
  const sizes = activationSizes(config);
  const site = (name: InputSite): InputPlan | null => {
    const { transform, quantizer: value } = layer[name];
    if (!transform && !value) return null;
    const { rows, columns, left, right } = transform ?? { rows: 1, columns: sizes[name], left: null, right: null };
    return { rows, columns, left: matrix(left), right: matrix(right), quantizer: quantizer(value) };
  };
  return {
    attentionInput: site('attentionInput'),
    attentionOutput: site('attentionOutput'),
    mlpInput: site('mlpInput'),
    mlpOutput: site('mlpOutput'),
    queryTransform: matrix(layer.keys.queryTransform),
    keyTransform: matrix(layer.keys.transform),
    keyQuantizer: quantizer(layer.keys.quantizer),
    valueQuantizer: quantizer(layer.values.quantizer),
  };
}

function planLane(
  config: ModelConfig,
  firstSlot: number,
  slots: number,
  maxRows: number,
  capacity: number,
  take: (words: number) => number,
): LanePlan {
  const { hiddenSize, intermediateSize, heads, kvHeads, headDim, vocabSize } = config;
  return {
    firstSlot,
    slots,
    ids: take(maxRows),
    rowSlots: take(maxRows),
    positions: take(maxRows),
    selected: take(maxRows),
    hidden: take(maxRows * hiddenSize),
    normed: take(maxRows * hiddenSize),
    queryKeyValue: take(maxRows * (heads + 2 * kvHeads) * headDim),
    mixed: take(maxRows * heads * headDim),
    projected: take(maxRows * hiddenSize),
    gateUp: take(maxRows * 2 * intermediateSize),
    activated: take(maxRows * intermediateSize),
    final: take(slots * hiddenSize),
    logits: take(slots * vocabSize),
    peakTokens: take(slots),
    peakShares: take(slots),
    scores: take(2 * capacity),
    scratch: take(2 * Math.max(hiddenSize, intermediateSize, heads * headDim)),
  };
}
