/**
 * A model's `config.json` read into the few numbers the decoder needs. Qwen3, Qwen2 (R1-Distill) and Llama differ only in switches:
 * query/key norms, attention biases, tied embeddings and RoPE scaling. Both spellings of transformers 4 and 5 are understood.
 */
import { join } from 'node:path';
import { isJsonObject, type JsonObject, readJsonObject, readOptionalJsonObject } from '../data/json-file.ts';
import { ProblemList } from '../formats/problems.ts';
import { foreignReaders } from '../formats/readers/index.ts';
import { ConfigFields } from './config-fields.ts';

export const architectures = ['qwen3', 'qwen2', 'llama'] as const;
export type Architecture = (typeof architectures)[number];

/** Llama 3's stretched rotary frequencies (transformers, `modeling_rope_utils`). */
export interface Llama3Scaling {
  factor: number;
  lowFreqFactor: number;
  highFreqFactor: number;
  originalContextLength: number;
}

export interface ModelConfig {
  architecture: Architecture;
  hiddenSize: number;
  intermediateSize: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  vocabSize: number;
  rmsNormEps: number;
  ropeTheta: number;
  ropeScaling: Llama3Scaling | null;
  /** Biases on the query, key and value projections. */
  attentionBias: boolean;
  /** A bias on the attention's output projection. */
  outputBias: boolean;
  /** RMSNorm over each query and key head. */
  qkNorm: boolean;
  tiedEmbeddings: boolean;
  contextLength: number;
  eosTokenIds: number[];
  padTokenId: number | null;
  bosTokenId: number | null;
}

export const configFile = 'config.json';
const supportedModels = 'Use a Qwen3, Qwen2 (also DeepSeek-R1-Distill-Qwen) or Llama model.';

/** Reads the configuration of the model in `dir`. Throws one error that lists every problem; `unsupported` names what is not supported. */
export async function readModelConfig(dir: string): Promise<ModelConfig> {
  const problems = new ProblemList();
  const config = await scanModelConfig(dir, problems);
  problems.throwErrors(dir);
  return config!;
}

/** Like `readModelConfig`, but problems are collected; null when the model cannot be described at all. */
export async function scanModelConfig(dir: string, problems: ProblemList): Promise<ModelConfig | null> {
  try {
    const broken = { code: 'model-invalid', hint: 'Download the file again.' } as const;
    const json = await readJsonObject(join(dir, configFile), broken);
    const generation = await readOptionalJsonObject(join(dir, 'generation_config.json'), broken);
    return parseModelConfig(json, generation ?? {}, problems);
  } catch (error) {
    problems.caught(configFile, error);
    return null;
  }
}

/** Parses the contents of `config.json` and `generation_config.json`. */
export function parseModelConfig(json: JsonObject, generation: JsonObject, problems: ProblemList): ModelConfig | null {
  const architecture = readArchitecture(json, problems);
  if (!architecture) return null;
  const before = problems.items.length;
  const fields = new ConfigFields(json, problems);
  const config = readFields(architecture, fields, generation);
  const isReadable = problems.items.length === before;
  if (isReadable) checkConsistency(config, fields);
  checkUnsupported(json, fields);
  return problems.items.length === before ? config : null;
}

function readArchitecture(json: JsonObject, problems: ProblemList): Architecture | null {
  const type = json.model_type;
  const known = architectures.find((name) => name === type);
  if (!known)
    problems.error(
      `${configFile}, model_type`,
      `the architecture ${JSON.stringify(type ?? null)} is not supported.`,
      supportedModels,
      'unsupported',
    );
  return known ?? null;
}

function readFields(architecture: Architecture, fields: ConfigFields, generation: JsonObject): ModelConfig {
  const heads = fields.count('num_attention_heads');
  const hiddenSize = fields.count('hidden_size');
  const attentionBias = fields.flag('attention_bias', false);
  return {
    architecture,
    hiddenSize,
    intermediateSize: fields.count('intermediate_size'),
    layers: fields.count('num_hidden_layers'),
    heads,
    kvHeads: fields.count('num_key_value_heads', heads),
    headDim: fields.count('head_dim', architecture === 'qwen3' ? 128 : hiddenSize / heads),
    vocabSize: fields.count('vocab_size'),
    rmsNormEps: fields.positive('rms_norm_eps', 1e-6),
    ...readRope(fields),
    attentionBias: architecture === 'qwen2' || attentionBias,
    outputBias: architecture !== 'qwen2' && attentionBias,
    qkNorm: architecture === 'qwen3',
    tiedEmbeddings: fields.flag('tie_word_embeddings', false),
    contextLength: fields.count('max_position_embeddings', 32768),
    eosTokenIds: fields.tokenIds('eos_token_id', generation),
    padTokenId: fields.tokenIds('pad_token_id', generation)[0] ?? null,
    bosTokenId: fields.tokenIds('bos_token_id', generation)[0] ?? null,
  };
}

/** `rope_theta` + `rope_scaling` (transformers 4) or `rope_parameters` (transformers 5). */
function readRope(fields: ConfigFields): Pick<ModelConfig, 'ropeTheta' | 'ropeScaling'> {
  const section = fields.section('rope_parameters') ?? fields.section('rope_scaling');
  const ropeTheta = section?.has('rope_theta') ? section.positive('rope_theta') : fields.positive('rope_theta', 10_000);
  const type = section?.text('rope_type') ?? section?.text('type') ?? 'default';
  if (!section || type === 'default') return { ropeTheta, ropeScaling: null };
  if (type !== 'llama3') {
    section.unsupported(
      'rope_type',
      `RoPE scaling of type "${type}" is not supported.`,
      'Use a model without RoPE scaling or with type "llama3"; for a Qwen model, remove rope_scaling to use its native context length.',
    );
    return { ropeTheta, ropeScaling: null };
  }
  const ropeScaling = {
    factor: section.positive('factor'),
    lowFreqFactor: section.positive('low_freq_factor'),
    highFreqFactor: section.positive('high_freq_factor'),
    originalContextLength: section.count('original_max_position_embeddings'),
  };
  return { ropeTheta, ropeScaling };
}

function checkConsistency(config: ModelConfig, fields: ConfigFields): void {
  if (config.heads % config.kvHeads !== 0)
    fields.invalid('num_key_value_heads', `${config.heads} attention heads do not divide into ${config.kvHeads} key/value heads.`);
  if (config.headDim % 2 !== 0)
    fields.invalid('head_dim', `a head dimension of ${config.headDim} is odd; rotary embedding needs an even one.`);
  for (const id of config.eosTokenIds)
    if (id >= config.vocabSize) fields.invalid('eos_token_id', `token ${id} lies outside the vocabulary of ${config.vocabSize}.`);
}

/** Switches that would silently change the numbers are refused by name. */
function checkUnsupported(json: JsonObject, fields: ConfigFields): void {
  const activation = json.hidden_act ?? 'silu';
  if (activation !== 'silu')
    fields.unsupported('hidden_act', `the activation ${JSON.stringify(activation)} is not supported, only "silu".`, supportedModels);
  if (json.use_sliding_window === true || (Array.isArray(json.layer_types) && json.layer_types.some((type) => type !== 'full_attention')))
    fields.unsupported(
      'use_sliding_window',
      'sliding-window attention is not supported.',
      'Use a model with full attention in every layer.',
    );
  if (json.mlp_bias === true) fields.unsupported('mlp_bias', 'biases in the MLP are not supported.', supportedModels);
  const method = isJsonObject(json.quantization_config) ? json.quantization_config.quant_method : undefined;
  if (method !== undefined && method !== 'roundoff' && !foreignReaders.has(method))
    fields.unsupported(
      'quantization_config',
      `checkpoints quantized by ${JSON.stringify(method)} cannot be read.`,
      `Use the original F32, F16 or BF16 model, or one quantized by ${[...foreignReaders.keys()].join(', ')}.`,
    );
}
