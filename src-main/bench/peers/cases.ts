/** What `bench peers` measures: the marks that Roundoff sets itself beside other runtimes, with what each needs of the device. */
import type { ModelShape } from '../../engine/bench/random-checkpoint.ts';

export const peerCaseIds = [
  'gemm-f32',
  'gemm-f16',
  'decode-1',
  'decode-64',
  'decode-w4',
  'decode-nf4',
  'train-step',
  'toy-step',
  'gptq',
  'grpo-step',
] as const;
export type PeerCaseId = (typeof peerCaseIds)[number];

export const casesWithoutModel: readonly PeerCaseId[] = ['gemm-f32', 'gemm-f16', 'toy-step'];

export interface PeerSizes {
  shape: ModelShape;
  shapeName: string;
  /** Rows and columns of the matrices. */
  gemm: number;
  promptTokens: number;
  newTokens: number;
  train: { batch: number; length: number; steps: number };
  gptq: { samples: number; sequenceLength: number };
  grpo: { prompts: number; completions: number; maxNewTokens: number; steps: number };
  repeats: number;
}

/** Per product, step of all sequences, or training step. */
export interface Need {
  bytes: number;
  flops: number;
}

export interface PeerCase {
  id: PeerCaseId;
  title(sizes: PeerSizes): string;
  unit: string;
  /** Whether a larger figure is the better one (rates) or a smaller one (times). */
  largerIsBetter: boolean;
  /** What is aimed at, as `docs/performance.md` lists it; null for a comparison without a mark. */
  mark: string | null;
  /** At least; null where it depends on what is generated. */
  need(sizes: PeerSizes): Need | null;
  /** Seconds that the need is for, from the figure. */
  seconds(value: number, sizes: PeerSizes): number;
}

/** Parameters of the decoder's linears, and of the output layer, which is the embedding table too. */
export function parameterCounts({ hiddenSize, intermediateSize, layers, heads, kvHeads, headDim, vocabSize }: ModelShape) {
  const attention = hiddenSize * headDim * (2 * heads + 2 * kvHeads);
  return { linears: layers * (attention + 3 * hiddenSize * intermediateSize), head: hiddenSize * vocabSize };
}

function decodeNeed(sizes: PeerSizes, batch: number, linearBytes: number): Need {
  const { shape, promptTokens, newTokens } = sizes;
  const { linears, head } = parameterCounts(shape);
  const context = promptTokens + newTokens / 2;
  const cached = context * shape.layers * shape.kvHeads * shape.headDim * 2;
  const attention = 4 * context * shape.layers * shape.heads * shape.headDim;
  return { bytes: linears * linearBytes + head * 2 + batch * cached * 2, flops: batch * (2 * (linears + head) + attention) };
}

function decodeCase(id: PeerCaseId, name: string, batch: number, linearBytes: number, mark: string): PeerCase {
  return {
    ...{ id, unit: 'tokens/s', largerIsBetter: true, mark },
    title: ({ shapeName, promptTokens, newTokens }) =>
      `Decode, ${name}, batch ${batch}: ${shapeName}, ${promptTokens} + ${newTokens} tokens`,
    need: (sizes) => decodeNeed(sizes, batch, linearBytes),
    seconds: (value) => batch / value,
  };
}

/** A code, and its share of the binary16 scale and the zero point. */
const w4Bytes = (4 + (16 + 4) / 128) / 8;
const nf4Bytes = (4 + 32 / 64) / 8;
const milliseconds = (value: number) => value / 1000;

export const peerCases: readonly PeerCase[] = [
  gemmCase('gemm-f32', 'float32', 4, '≥ 50 % of the float32 peak'),
  gemmCase('gemm-f16', 'half precision in, float32 sums', 2, '≥ 0.6× PyTorch on the same GPU'),
  decodeCase('decode-1', '16-bit weights', 1, 2, '≥ 5× transformers'),
  decodeCase('decode-64', '16-bit weights', 64, 2, '≥ 3× transformers'),
  decodeCase('decode-w4', 'W4G128', 1, w4Bytes, '≥ 50 % of the memory roofline'),
  decodeCase('decode-nf4', 'NF4', 1, nf4Bytes, '≥ 2× bitsandbytes'),
  {
    ...{ id: 'train-step', unit: 'ms/step', largerIsBetter: false, mark: '≥ 0.4× PyTorch eager (goal 1×)', seconds: milliseconds },
    title: ({ shapeName, train }) => `Training step, all weights: ${shapeName}, ${train.batch} × ${train.length} tokens`,
    need: ({ shape, train }) => {
      const { linears, head } = parameterCounts(shape);
      const tokens = train.batch * train.length;
      const attention = 6 * tokens * train.length * shape.layers * shape.heads * shape.headDim;
      // Weights forward and backward, gradients, float32 masters and both moments read and written.
      return { bytes: (linears + head) * (2 * 2 + 2 * 4 + 6 * 4), flops: 6 * tokens * (linears + head) + attention };
    },
  },
  {
    ...{ id: 'toy-step', unit: 'ms/step', largerIsBetter: false, mark: null, seconds: milliseconds },
    title: () => 'Training step of a decoder of 861K parameters, 16 × 64 tokens, float32',
    need: () => null,
  },
  {
    ...{ id: 'gptq', unit: 'minutes', largerIsBetter: false, mark: 'under 2 minutes', seconds: (value) => 60 * value },
    title: ({ shapeName, gptq }) => `GPTQ W4G128: ${shapeName}, ${gptq.samples} × ${gptq.sequenceLength} tokens`,
    need: ({ shape, gptq }) => {
      const { linears } = parameterCounts(shape);
      // Every layer runs once to observe and once more with its rounded weights.
      return { bytes: 4 * linears, flops: 4 * gptq.samples * gptq.sequenceLength * linears };
    },
  },
  {
    ...{ id: 'grpo-step', unit: 's/step', largerIsBetter: false, mark: '≥ 2× TRL without vLLM', seconds: (value) => value },
    title: ({ shapeName, grpo }) =>
      `GRPO step: ${shapeName}, ${grpo.prompts} × ${grpo.completions} completions of ${grpo.maxNewTokens} tokens`,
    need: () => null,
  },
];

function gemmCase(id: PeerCaseId, name: string, elementBytes: number, mark: string): PeerCase {
  return {
    ...{ id, unit: 'GFLOPS', largerIsBetter: true, mark },
    title: ({ gemm }) => `Matrix product ${gemm}³, ${name}`,
    need: ({ gemm }) => ({ bytes: gemm ** 2 * (2 * elementBytes + 4), flops: 2 * gemm ** 3 }),
    seconds: (value, { gemm }) => (2 * gemm ** 3) / (value * 1e9),
  };
}

export function peerCase(id: PeerCaseId): PeerCase {
  return peerCases.find((entry) => entry.id === id)!;
}
