/**
 * GPTQ of a whole model of Qwen3-0.6B's shape with random weights: 4 bits, groups of 128, asymmetric, no range search, true-sequential,
 * 128 samples of 512 tokens. The clock covers everything from opening the folder to the finished checkpoint.
 */
import { mkdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { quantizeStageSchema } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { RandomStream } from '../data/random-stream.ts';
import { writeWholeFile } from '../formats/atomic-file.ts';
import { writeSafetensors } from '../formats/safetensors.ts';
import { readModelConfig } from '../model/config.ts';
import { parameterShapes } from '../model/parameters.ts';
import { quantizeCheckpoint } from '../quantizers/streaming/quantize-checkpoint.ts';

const samples = 128;
const sequenceLength = 512;
const vocabSize = 151_936;
/** Calibration tokens as little-endian int32, for us and for PyTorch. */
const tokensFile = 'calibration-tokens.i32';

/** A folder with a random BF16 checkpoint of `layers` decoder layers; made once per number of layers. */
export async function largeCheckpoint(layers: number): Promise<string> {
  const dir = join(tmpdir(), `roundoff-bench-qwen3-0.6b-${layers}`);
  await mkdir(dir, { recursive: true });
  const draws = new RandomStream(1, 'bench', 'large-tokens');
  const tokens = Int32Array.from({ length: samples * sequenceLength }, () => draws.integer(0, vocabSize - 1));
  await writeWholeFile(join(dir, tokensFile), new Uint8Array(tokens.buffer));
  if (await stat(join(dir, 'model.safetensors')).catch(() => null)) return dir;
  const json = {
    architectures: ['Qwen3ForCausalLM'],
    model_type: 'qwen3',
    hidden_size: 1024,
    intermediate_size: 3072,
    num_hidden_layers: layers,
    num_attention_heads: 16,
    num_key_value_heads: 8,
    head_dim: 128,
    vocab_size: vocabSize,
    rms_norm_eps: 1e-6,
    rope_theta: 1_000_000,
    tie_word_embeddings: true,
    attention_bias: false,
    hidden_act: 'silu',
    max_position_embeddings: 40_960,
    eos_token_id: 151_645,
    torch_dtype: 'bfloat16',
  };
  await writeWholeFile(join(dir, 'config.json'), JSON.stringify(json, null, 2));
  const stream = new RandomStream(0, 'bench', 'large');
  const shapes = parameterShapes(await readModelConfig(dir));
  const tensors = [...shapes].map(([name, shape]) => {
    const size = shape.reduce((product, length) => product * length, 1);
    const values = () => (shape.length === 1 ? new Float32Array(size).fill(1) : stream.fork(name).normals(size, 0.02));
    return { name, dtype: 'BF16' as const, shape, values };
  });
  await writeSafetensors(join(dir, 'model.safetensors'), tensors);
  return dir;
}

/** Quantizes the checkpoint in `dir` on the active backend and removes the result. */
export async function benchLargeGptq(dir: string, onProgress: (text: string) => void): Promise<{ value: number; unit: 'minutes' }> {
  const bytes = await readFile(join(dir, tokensFile));
  const ids = new Int32Array(new Uint8Array(bytes).buffer);
  const tokens = Array.from({ length: samples }, (_, row) => ids.slice(row * sequenceLength, (row + 1) * sequenceLength));
  const outDir = `${dir}-gptq`;
  for (const folder of [outDir, `${outDir}.work`]) await rm(folder, { recursive: true, force: true });
  const stage = quantizeStageSchema.parse({
    type: 'quantize',
    method: 'gptq',
    scheme: parseScheme('W4G128'),
    calibration: { path: 'random', samples, sequenceLength, seed: 0 },
    options: { mseSearch: false },
  });
  const start = performance.now();
  await quantizeCheckpoint({
    sourceDir: dir,
    outDir,
    stage,
    seed: 0,
    samples: tokens,
    modelHash: dir,
    tokenizer: () => Promise.reject(new Error('samples are given')),
    onLog: onProgress,
    onProgress: ({ done, total }) =>
      onProgress(`${done} of ${total} linears after ${((performance.now() - start) / 60_000).toFixed(2)} minutes`),
  });
  const minutes = (performance.now() - start) / 60_000;
  await rm(outDir, { recursive: true, force: true });
  return { value: minutes, unit: 'minutes' };
}
