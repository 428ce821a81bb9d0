/** Random models, one per architecture, whose sizes meet every branch of the decode kernels: odd head groups, head sizes with tails, biases. */
import * as tf from '@tensorflow/tfjs-core';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import type { ModelConfig } from '../../../../src-main/engine/model/config.ts';
import { createRandomModel } from '../../../../src-main/engine/model/init.ts';
import type { LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import type {
  GenerationOptions,
  GenerationRequest,
  GenerationResult,
  Generator,
  SamplingSettings,
} from '../../../../src-main/engine/rollouts/generator.ts';

const common = {
  hiddenSize: 32,
  intermediateSize: 48,
  layers: 2,
  vocabSize: 41,
  rmsNormEps: 1e-6,
  ropeTheta: 10_000,
  ropeScaling: null,
  attentionBias: false,
  outputBias: false,
  qkNorm: false,
  tiedEmbeddings: false,
  contextLength: 256,
  eosTokenIds: [3],
  padTokenId: null,
  bosTokenId: null,
};

export const tinyConfigs = {
  'qwen3, grouped queries': { ...common, architecture: 'qwen3', heads: 4, kvHeads: 2, headDim: 16, qkNorm: true, tiedEmbeddings: true },
  'qwen2, odd group, attention bias': { ...common, architecture: 'qwen2', heads: 6, kvHeads: 2, headDim: 20, attentionBias: true },
  'llama, scaled RoPE, output bias': {
    ...common,
    architecture: 'llama',
    hiddenSize: 28,
    heads: 7,
    kvHeads: 7,
    headDim: 4,
    attentionBias: true,
    outputBias: true,
    ropeScaling: { factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalContextLength: 32 },
  },
} satisfies Record<string, ModelConfig>;

export type TinyName = keyof typeof tinyConfigs;
export const tinyNames = Object.keys(tinyConfigs) as TinyName[];

/** Weights and biases large enough for decided, varied logits. */
export function tinyModel(name: TinyName, seed = 1): LanguageModel {
  const model = createRandomModel(tinyConfigs[name], seed, { deviation: 0.25 });
  for (const [parameter, tensor] of model.parameters) {
    if (!parameter.endsWith('.bias') && !parameter.includes('norm')) continue;
    const noise = new RandomStream(seed, parameter).normals(tensor.size, 0.3);
    const values = tensor.dataSync() as Float32Array;
    model.parameters.set(
      parameter,
      tf.keep(
        tf.tensor(
          values.map((value, index) => value + noise[index]!),
          tensor.shape,
        ),
      ),
    );
    tensor.dispose();
  }
  return model;
}

/** Requests with prompts of differing lengths. */
export function requests(count: number, vocabSize: number, longest = 23): GenerationRequest[] {
  const stream = new RandomStream(9, 'prompts');
  return Array.from({ length: count }, (_, index) => ({
    key: `problem-${index}`,
    promptIds: Array.from({ length: stream.integer(1, longest) }, () => stream.integer(4, vocabSize - 1)),
    seed: 17,
    stream: `stream-${index}`,
  }));
}

/** Runs to the end; results by key. */
export async function collect(
  generator: Generator,
  list: GenerationRequest[],
  settings: SamplingSettings,
  options: Omit<GenerationOptions, 'onResult'> = {},
): Promise<Map<string, GenerationResult>> {
  const results = new Map<string, GenerationResult>();
  await generator.run(list, settings, { ...options, onResult: (result) => void results.set(result.key, result) });
  return new Map([...results].sort(([a], [b]) => (a < b ? -1 : 1)));
}
