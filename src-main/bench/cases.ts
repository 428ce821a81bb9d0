/** What `npm run bench` measures. Every case runs alone in a fresh process, ours and the peers' in turn, in one run. */

export const benchSuites = ['train', 'generate', 'quantize', 'load'] as const;
/** Measured only when named: it takes many minutes. */
export const longSuites = ['quantize-large'] as const;
export type BenchSuite = (typeof benchSuites)[number] | (typeof longSuites)[number];

export interface BenchCase {
  id: string;
  suite: BenchSuite;
  title: string;
  /** Whether a larger figure is the better one (rates) or a smaller one (times). */
  largerIsBetter: boolean;
  needsModel: boolean;
  /** Also measured with the wasm backend as TF.js ships it. */
  stockPeer: boolean;
}

export interface Measurement {
  value: number;
  unit: string;
  peakMemoryBytes: number;
}

export const benchCases: readonly BenchCase[] = [
  {
    id: 'train-step',
    suite: 'train',
    title: 'Training step, 861K parameters, 16 × 64 tokens',
    largerIsBetter: false,
    needsModel: false,
    stockPeer: true,
  },
  {
    id: 'kd-step',
    suite: 'train',
    title: 'Distillation step of Abacus through W3G32 weights, 16 × 128 tokens',
    largerIsBetter: false,
    needsModel: true,
    stockPeer: false,
  },
  {
    id: 'grpo-step',
    suite: 'train',
    title: 'GRPO step of Abacus, 8 × 8 completions (peer: TRL)',
    largerIsBetter: false,
    needsModel: true,
    stockPeer: false,
  },
  { id: 'prefill', suite: 'generate', title: 'Prefill, 16 × 128 tokens', largerIsBetter: true, needsModel: true, stockPeer: false },
  { id: 'decode-1', suite: 'generate', title: 'Decode, batch 1', largerIsBetter: true, needsModel: true, stockPeer: false },
  { id: 'decode-64', suite: 'generate', title: 'Decode, batch 64', largerIsBetter: true, needsModel: true, stockPeer: false },
  {
    id: 'gptq-layer',
    suite: 'quantize',
    title: 'GPTQ W4G128 of one 1024 × 1024 linear, 4,096 rows',
    largerIsBetter: false,
    needsModel: false,
    stockPeer: false,
  },
  {
    id: 'gptq-large',
    suite: 'quantize-large',
    title: 'GPTQ W4G128 of a random Qwen3-0.6B, 128 × 512 tokens',
    largerIsBetter: false,
    needsModel: true,
    stockPeer: false,
  },
  { id: 'load', suite: 'load', title: 'Load the model', largerIsBetter: false, needsModel: true, stockPeer: false },
];
