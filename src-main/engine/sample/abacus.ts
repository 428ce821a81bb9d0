/**
 * Abacus itself: its architecture and the files beside its weights.
 */
import type { ModelConfig } from '../model/config.ts';
import { tokenIds, tokenizerConfig, tokenizerJson } from './tokenizer-files.ts';
import { vocabularySize } from './vocabulary.ts';

/** Width and depth: every linear's input is a multiple of 128, so that all group sizes up to 128 divide it. */
export const abacusConfig: ModelConfig = {
  architecture: 'qwen3',
  hiddenSize: 128,
  intermediateSize: 384,
  layers: 4,
  heads: 4,
  kvHeads: 2,
  headDim: 32,
  vocabSize: vocabularySize,
  rmsNormEps: 1e-6,
  ropeTheta: 10_000,
  ropeScaling: null,
  attentionBias: false,
  outputBias: false,
  qkNorm: true,
  tiedEmbeddings: true,
  contextLength: 512,
  eosTokenIds: [tokenIds.end],
  padTokenId: tokenIds.pad,
  bosTokenId: null,
};

/** The sample models by the name of their folder: Abacus, and the same with half the depth, to see what size changes. */
export const sampleModels = {
  abacus: { title: 'Abacus', config: abacusConfig },
  'abacus-small': { title: 'Abacus small', config: { ...abacusConfig, layers: 2 } },
} as const satisfies Record<string, { title: string; config: ModelConfig }>;
export type SampleModelName = keyof typeof sampleModels;

/** The text files of the model folder, in Hugging Face's layout, by name. */
export function abacusFiles(config: ModelConfig = abacusConfig): Record<string, string> {
  const ids = { bos_token_id: config.bosTokenId, eos_token_id: tokenIds.end, pad_token_id: tokenIds.pad };
  const modelConfig = {
    architectures: ['Qwen3ForCausalLM'],
    attention_bias: config.attentionBias,
    attention_dropout: 0,
    ...ids,
    dtype: 'float16',
    head_dim: config.headDim,
    hidden_act: 'silu',
    hidden_size: config.hiddenSize,
    initializer_range: 0.02,
    intermediate_size: config.intermediateSize,
    max_position_embeddings: config.contextLength,
    max_window_layers: config.layers,
    model_type: 'qwen3',
    num_attention_heads: config.heads,
    num_hidden_layers: config.layers,
    num_key_value_heads: config.kvHeads,
    rms_norm_eps: config.rmsNormEps,
    rope_scaling: null,
    rope_theta: config.ropeTheta,
    sliding_window: null,
    tie_word_embeddings: config.tiedEmbeddings,
    use_cache: true,
    use_sliding_window: false,
    vocab_size: config.vocabSize,
  };
  const generationConfig = { ...ids, do_sample: true, temperature: 0.6, top_p: 0.95 };
  return {
    'config.json': jsonText(modelConfig),
    'generation_config.json': jsonText(generationConfig),
    'tokenizer.json': jsonText(tokenizerJson()),
    'tokenizer_config.json': jsonText(tokenizerConfig(config.contextLength)),
  };
}

function jsonText(value: object): string {
  return `${JSON.stringify(value, null, 1)}\n`;
}
