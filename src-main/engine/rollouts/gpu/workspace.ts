/** What the kernels of a decode engine write to: tables of a submit, and what is between one kernel and the next. Made once. */
import type { Buffers } from './buffers.ts';
import { partialFloats, segmentPositions } from './kernels/attention.ts';
import { samplerWorkBytes } from './kernels/sample.ts';
import { type EngineShape, paddedRows } from './shape.ts';

/** Where rows come from: a table of prompt tokens, or the slots' states. */
export type RowsFrom = 'prompt' | 'state';

export interface Workspace {
  /** [rows] of (slot, position): those of prompt tokens are written before a submit, those of decode steps by the step itself. */
  places: Record<RowsFrom, GPUBuffer>;
  /** Row of each row of logits; 0, 1, 2 … for decode steps. */
  selected: Record<RowsFrom, GPUBuffer>;
  /** [promptRows] */
  promptIds: GPUBuffer;
  /** [slots], of the rows of decode steps */
  decodeSlots: GPUBuffer;
  /** [slots] of (next token, its position, tokens that may still be drawn, 0) */
  states: GPUBuffer;
  /** [slots] of (from, to, positions, 0) */
  copies: GPUBuffer;
  /** Number of the decode step within its submit, counted from 1; 0 while prompts are computed. */
  step: GPUBuffer;
  /** [steps + 1, slots] */
  uniforms: GPUBuffer;
  /** [steps + 1, slots] of (token, bits of the log-probability) */
  outcomes: GPUBuffer;

  hidden: GPUBuffer;
  normed: GPUBuffer;
  /** [rows, (heads + 2 · kvHeads) · headDim] */
  qkv: GPUBuffer;
  /** [rows, heads · headDim] */
  mixed: GPUBuffer;
  /** Of attention over long caches, for decode steps. */
  partials: GPUBuffer;
  activated: GPUBuffer;
  /** Of any input of a product that is transformed. */
  transformed: GPUBuffer;
  /** [slots, hidden] */
  final: GPUBuffer;
  /** [slots, vocab] */
  logits: GPUBuffer;
  /** Of the sampler, for each row of logits. */
  sampling: GPUBuffer;
}

/** Bytes of `outcomes`. */
export function outcomeBytes({ slots, steps }: EngineShape): number {
  return 8 * (steps + 1) * slots;
}

/** @throws RoundoffError `out-of-memory` */
export function createWorkspace(shape: EngineShape, buffers: Buffers): Workspace {
  const { config, slots, promptRows, capacity, steps } = shape;
  const { hiddenSize, vocabSize, heads, kvHeads, headDim, intermediateSize } = config;
  const decodeRows = paddedRows(shape, slots);
  const rows = Math.max(decodeRows, 64 * Math.ceil(promptRows / 64));
  const words = (label: string, count: number) => buffers.bound(label, 4 * count);
  const segments = Math.ceil(capacity / segmentPositions);
  const identity = Uint32Array.from({ length: slots }, (_, row) => row);
  return {
    places: { prompt: words('prompt rows', 2 * promptRows), state: words('decode rows', 2 * slots) },
    selected: { prompt: words('selected rows', slots), state: buffers.filled('selected rows', identity) },
    promptIds: words('prompt tokens', promptRows),
    decodeSlots: words('decode slots', slots),
    states: words('slot states', 4 * slots),
    copies: words('cache copies', 4 * slots),
    step: words('step', 1),
    uniforms: words('uniform numbers', (steps + 1) * slots),
    outcomes: buffers.bound('outcomes', outcomeBytes(shape)),
    hidden: words('hidden states', rows * hiddenSize),
    normed: words('normalized states', rows * hiddenSize),
    qkv: words('queries, keys and values', rows * (heads + 2 * kvHeads) * headDim),
    mixed: words('attention outputs', rows * heads * headDim),
    partials: words('attention segments', segments > 1 ? slots * heads * segments * partialFloats(config) : 1),
    activated: words('MLP activations', rows * intermediateSize),
    transformed: words('transformed activations', rows * widestTransform(shape)),
    final: words('final states', decodeRows * hiddenSize),
    logits: words('logits', decodeRows * vocabSize),
    sampling: buffers.bound('sampling candidates', slots * samplerWorkBytes(vocabSize)),
  };
}

/** Values of a row that is transformed, at most; 0 without transforms. */
function widestTransform({ activations }: EngineShape): number {
  const transforms = activations.flatMap((layer) => (layer ? Object.values(layer.transforms) : []));
  return Math.max(0, ...transforms.map((transform) => (transform ? transform.rows * transform.columns : 0)));
}
