/** A decoder small enough for gradients to be checked number by number, and data it can learn. */
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import type { ModelConfig } from '../../../../src-main/engine/model/config.ts';
import type { TrainingData, TrainingSettings } from '../../../../src-main/engine/training/index.ts';

export const tinyConfig: ModelConfig = {
  architecture: 'qwen3',
  hiddenSize: 16,
  intermediateSize: 24,
  layers: 2,
  heads: 4,
  kvHeads: 2,
  headDim: 4,
  vocabSize: 12,
  rmsNormEps: 1e-6,
  ropeTheta: 10_000,
  ropeScaling: null,
  attentionBias: false,
  outputBias: false,
  qkNorm: true,
  tiedEmbeddings: true,
  contextLength: 32,
  eosTokenIds: [1],
  padTokenId: 0,
  bosTokenId: null,
};

/** Sequences that count upwards modulo 9 from a random start; lengths vary. */
export function countingData(count: number): TrainingData {
  return {
    count,
    example: (index) => {
      const stream = new RandomStream(5, `counting ${index}`);
      const [start, length] = [stream.integer(0, 8), stream.integer(4, 9)];
      return { ids: Array.from({ length }, (_, position) => 2 + ((start + position) % 9)), lossStart: 2 };
    },
  };
}

export const tinySettings: TrainingSettings = {
  steps: 6,
  batchSize: 4,
  accumulation: 2,
  batchesPerWindow: 4,
  schedule: { kind: 'cosine', peak: 0.01, warmupSteps: 2, floorShare: 0.1 },
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.1,
  maxGradientNorm: 1,
  seed: 3,
  checkpointEvery: 0,
};
