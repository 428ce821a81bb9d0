/** Model folders with random weights, one per architecture, whose sizes every export format can pack. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { RandomStream } from '../../src-main/engine/data/random-stream.ts';
import { writeSafetensors } from '../../src-main/engine/formats/safetensors-write.ts';
import { readModelConfig } from '../../src-main/engine/model/config.ts';
import { parameterShapes } from '../../src-main/engine/model/parameters.ts';

const common = {
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  hidden_act: 'silu',
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  vocab_size: 50,
  max_position_embeddings: 64,
  eos_token_id: 1,
};

export const tinyArchitectures = {
  qwen3: {
    ...common,
    architectures: ['Qwen3ForCausalLM'],
    model_type: 'qwen3',
    attention_bias: false,
    tie_word_embeddings: true,
    dtype: 'float32',
  },
  qwen2: { ...common, architectures: ['Qwen2ForCausalLM'], model_type: 'qwen2', tie_word_embeddings: false, dtype: 'bfloat16' },
  llama: {
    ...common,
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    attention_bias: true,
    tie_word_embeddings: false,
    dtype: 'float16',
    rope_scaling: { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 32 },
  },
} as const;
export type TinyArchitecture = keyof typeof tinyArchitectures;
export const tinyArchitectureNames = Object.keys(tinyArchitectures) as TinyArchitecture[];

const dtypes = { float32: 'F32', bfloat16: 'BF16', float16: 'F16' } as const;

/** Writes the folder; norms and biases are random too, so that nothing passes unnoticed. */
export async function writeTinyArchitecture(dir: string, name: TinyArchitecture): Promise<void> {
  const config = tinyArchitectures[name];
  mkdirSync(dir, { recursive: true });
  writeFileSync(path.join(dir, 'config.json'), JSON.stringify(config));
  writeFileSync(path.join(dir, 'tokenizer_config.json'), JSON.stringify({ model_max_length: 64 }));
  const random = new RandomStream(3, name);
  const tensors = [...parameterShapes(await readModelConfig(dir))].map(([parameter, shape]) => {
    const size = shape.reduce((product, length) => product * length, 1);
    const values = random.fork(parameter).normals(size, 0.2);
    if (parameter.includes('norm')) for (let i = 0; i < size; i++) values[i]! += 1;
    return { name: parameter, dtype: dtypes[config.dtype], shape, values };
  });
  await writeSafetensors(path.join(dir, 'model.safetensors'), tensors);
}
