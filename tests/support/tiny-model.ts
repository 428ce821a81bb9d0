/** A Qwen3 model folder with random weights and Abacus's tokenizer: small enough for every test, real in every other respect. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { RandomStream } from '../../src-main/engine/data/random-stream.ts';
import { writeSafetensors } from '../../src-main/engine/formats/safetensors-write.ts';
import { readModelConfig } from '../../src-main/engine/model/config.ts';
import { parameterShapes } from '../../src-main/engine/model/parameters.ts';
import { tokenizerConfig, tokenizerJson } from '../../src-main/engine/sample/tokenizer-files.ts';
import { vocabularySize } from '../../src-main/engine/sample/vocabulary.ts';

const contextLength = 192;

const config = {
  architectures: ['Qwen3ForCausalLM'],
  model_type: 'qwen3',
  attention_bias: false,
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  hidden_act: 'silu',
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  tie_word_embeddings: true,
  vocab_size: vocabularySize,
  max_position_embeddings: contextLength,
  eos_token_id: 1,
  pad_token_id: 0,
  dtype: 'float32',
};

/** Writes the folder. Weights are wide enough for the next token to depend on the text. `changes` of config.json make it larger. */
export async function writeTinyModel(dir: string, seed = 7, changes: Partial<typeof config> = {}): Promise<void> {
  mkdirSync(dir, { recursive: true });
  const write = (name: string, value: unknown) => writeFileSync(path.join(dir, name), JSON.stringify(value));
  write('config.json', { ...config, ...changes });
  write('tokenizer.json', tokenizerJson());
  write('tokenizer_config.json', tokenizerConfig(contextLength));
  const random = new RandomStream(seed, 'tiny-model');
  const tensors = [...parameterShapes(await readModelConfig(dir))].map(([name, shape]) => {
    const size = shape.reduce((product, length) => product * length, 1);
    const values = shape.length === 1 ? new Float32Array(size).fill(1) : random.fork(name).normals(size, 0.3);
    return { name, dtype: 'F32' as const, shape, values };
  });
  await writeSafetensors(path.join(dir, 'model.safetensors'), tensors);
}
