/**
 * Checkpoints of random weights in the shape of a published model, for timing: what a step costs does not depend on what the weights say.
 * Made once per shape in the system's temporary folder.
 */
import { mkdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RandomStream } from '../data/random-stream.ts';
import { writeWholeFile } from '../formats/atomic-file.ts';
import { writeSafetensors } from '../formats/safetensors.ts';
import { readModelConfig } from '../model/config.ts';
import { parameterShapes } from '../model/parameters.ts';

export interface ModelShape {
  hiddenSize: number;
  intermediateSize: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  vocabSize: number;
}

/** `abacus` is the bundled sample model's. `quick` is for processors and software adapters: the same architecture, small enough for a second. */
export const modelShapes = {
  'qwen3-0.6b': { hiddenSize: 1024, intermediateSize: 3072, layers: 28, heads: 16, kvHeads: 8, headDim: 128, vocabSize: 151_936 },
  abacus: { hiddenSize: 128, intermediateSize: 384, layers: 4, heads: 4, kvHeads: 2, headDim: 32, vocabSize: 448 },
  quick: { hiddenSize: 256, intermediateSize: 512, layers: 2, heads: 4, kvHeads: 2, headDim: 64, vocabSize: 2048 },
} as const satisfies Record<string, ModelShape>;
export type ShapeName = keyof typeof modelShapes;

/** Values are drawn once into a table of this length, a prime, and repeated. */
const poolSize = 1_048_573;

/** A folder with a random BF16 model of the shape, a byte-level tokenizer included. */
export async function randomCheckpoint(name: string, shape: ModelShape): Promise<string> {
  const dir = join(tmpdir(), `roundoff-bench-${name}-${shape.layers}-layers`);
  await mkdir(dir, { recursive: true });
  if (await stat(join(dir, 'model.safetensors')).catch(() => null)) return dir;
  await writeWholeFile(join(dir, 'config.json'), JSON.stringify(configOf(shape), null, 2));
  await writeWholeFile(join(dir, 'tokenizer.json'), JSON.stringify(tokenizerOf(shape.vocabSize)));
  await writeWholeFile(join(dir, 'tokenizer_config.json'), JSON.stringify({ tokenizer_class: 'PreTrainedTokenizerFast' }));
  const pool = new RandomStream(0, 'bench', 'weights').normals(poolSize, 0.02);
  let place = 0;
  const drawn = (size: number): Float32Array => {
    const values = new Float32Array(size);
    for (let done = 0; done < size; ) {
      const part = pool.subarray(place, place + size - done);
      values.set(part, done);
      done += part.length;
      place = (place + part.length) % poolSize;
    }
    return values;
  };
  const shapes = parameterShapes(await readModelConfig(dir));
  const tensors = [...shapes].map(([tensor, dims]) => {
    const size = dims.reduce((product, length) => product * length, 1);
    const values = () => (dims.length === 1 ? new Float32Array(size).fill(1) : drawn(size));
    return { name: tensor, dtype: 'BF16' as const, shape: dims, values };
  });
  await writeSafetensors(join(dir, 'model.safetensors'), tensors);
  return dir;
}

function configOf(shape: ModelShape): object {
  return {
    architectures: ['Qwen3ForCausalLM'],
    model_type: 'qwen3',
    hidden_size: shape.hiddenSize,
    intermediate_size: shape.intermediateSize,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    head_dim: shape.headDim,
    vocab_size: shape.vocabSize,
    rms_norm_eps: 1e-6,
    rope_theta: 1_000_000,
    tie_word_embeddings: true,
    attention_bias: false,
    hidden_act: 'silu',
    max_position_embeddings: 40_960,
    eos_token_id: shape.vocabSize - 1,
    pad_token_id: shape.vocabSize - 2,
    torch_dtype: 'bfloat16',
  };
}

/** Byte-level BPE without merges: the bytes, then names that no text contains. */
function tokenizerOf(vocabSize: number): object {
  const printable = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte < 173) || byte > 173;
  let shifted = 256;
  const bytes = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : shifted++));
  const names = [...bytes, ...Array.from({ length: vocabSize - 256 }, (_, index) => `[token ${index + 256}]`.replace(' ', 'Ġ'))];
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: true };
  return {
    version: '1.0',
    ...{ truncation: null, padding: null, added_tokens: [], normalizer: null, post_processor: null },
    ...{ pre_tokenizer: byteLevel, decoder: byteLevel },
    model: {
      type: 'BPE',
      ...{ dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null },
      ...{ fuse_unk: false, byte_fallback: false, ignore_merges: false, merges: [] },
      vocab: Object.fromEntries(names.map((name, id) => [name, id])),
    },
  };
}
