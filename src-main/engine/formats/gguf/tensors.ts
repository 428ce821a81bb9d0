/**
 * How a decoder's parameters are named, laid out and typed in a GGUF file for llama.cpp (its gguf-py `tensor_mapping` and
 * convert_hf_to_gguf). Only Llama's queries and keys change their row order: llama.cpp rotates neighbouring pairs there, Hugging Face
 * halves.
 */
import type { ModelConfig } from '../../model/config.ts';
import { embeddingName, finalNormName, headName, parameterShapes } from '../../model/parameters.ts';
import { rotaryFrequencies } from '../../model/rotary-cache.ts';
import type { GgufTensorType } from './types.ts';

/** A parameter's place in the file. */
export interface GgufParameter {
  /** Hugging Face name. */
  source: string;
  /** GGUF name. */
  name: string;
  shape: readonly number[];
  type: GgufTensorType;
  /** Heads whose rows are reordered; 0 for rows as they are. */
  permutedHeads: number;
}

/** Frequency factors of Llama 3's stretched rotary embedding, [headDim / 2]. */
export const ropeFactorsName = 'rope_freqs.weight';

const layerNames: Record<string, string> = {
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'self_attn.q_norm': 'attn_q_norm',
  'self_attn.k_norm': 'attn_k_norm',
  post_attention_layernorm: 'ffn_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
};

/** All parameters of a model in the order they are written, with matrices of type `type`. */
export function ggufParameters(config: ModelConfig, type: GgufTensorType): GgufParameter[] {
  return [...parameterShapes(config)].map(([source, shape]) => ({
    source,
    name: ggufName(source),
    shape,
    type: shape.length === 1 ? 'F32' : matrixType(config, source, type),
    permutedHeads: permutedHeads(config, source),
  }));
}

/** `model.layers.3.mlp.up_proj.weight` → `blk.3.ffn_up.weight`. */
export function ggufName(source: string): string {
  if (source === embeddingName) return 'token_embd.weight';
  if (source === finalNormName) return 'output_norm.weight';
  if (source === headName) return 'output.weight';
  const [, layer, module, kind] = source.match(/^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/) ?? [];
  const name = layerNames[module ?? ''];
  if (!name) throw new Error(`no GGUF name for ${source}`);
  return `blk.${layer}.${name}.${kind}`;
}

/**
 * In a Q4_0 file llama.cpp keeps the matrix that gives the logits finer: Q6_K, or Q8_0 where rows are no multiple of 256. Here it is
 * always Q8_0. All other matrices, embeddings included, have the file's type.
 */
function matrixType(config: ModelConfig, source: string, type: GgufTensorType): GgufTensorType {
  const head = config.tiedEmbeddings ? embeddingName : headName;
  return type === 'Q4_0' && source === head ? 'Q8_0' : type;
}

function permutedHeads(config: ModelConfig, source: string): number {
  if (config.architecture !== 'llama') return 0;
  if (source.includes('.q_proj.')) return config.heads;
  return source.includes('.k_proj.') ? config.kvHeads : 0;
}

/** Rows of each head from halves [2, d/2] to neighbouring pairs [d/2, 2]. Works on weights [rows, columns] and on biases [rows]. */
export function permuteHeads(values: Float32Array, rows: number, heads: number): Float32Array {
  return reorderRows(values, rows, heads, (pair, part, half) => [part * half + pair, 2 * pair + part]);
}

/** The inverse of `permuteHeads`. */
export function unpermuteHeads(values: Float32Array, rows: number, heads: number): Float32Array {
  return reorderRows(values, rows, heads, (pair, part, half) => [2 * pair + part, part * half + pair]);
}

function reorderRows(
  values: Float32Array,
  rows: number,
  heads: number,
  place: (pair: number, part: number, half: number) => [from: number, to: number],
): Float32Array {
  const columns = values.length / rows;
  const headRows = rows / heads;
  const half = headRows / 2;
  const moved = new Float32Array(values.length);
  for (let start = 0; start < rows; start += headRows) {
    for (let pair = 0; pair < half; pair++) {
      for (const part of [0, 1]) {
        const [from, to] = place(pair, part, half);
        moved.set(values.subarray((start + from) * columns, (start + from + 1) * columns), (start + to) * columns);
      }
    }
  }
  return moved;
}

/** What llama.cpp divides the plain frequencies by, [headDim / 2]; null for a model without scaling. */
export function ropeFactors(config: ModelConfig): Float32Array | null {
  if (!config.ropeScaling) return null;
  const plain = rotaryFrequencies({ ...config, ropeScaling: null });
  return rotaryFrequencies(config).map((frequency, pair) => plain[pair]! / frequency);
}
