import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ProblemList } from '../../../../src-main/engine/formats/problems.ts';
import { type ModelConfig, parseModelConfig, readModelConfig } from '../../../../src-main/engine/model/config.ts';
import { decoderLinears, linearShape, parameterCount, parameterShapes } from '../../../../src-main/engine/model/parameters.ts';
import { goldenModel } from '../../../golden/fixtures.ts';
import { copyOfModel, patchJson, temporaryFolder } from '../model-folder.ts';

/** Qwen3-0.6B as published (transformers 4 spelling). */
const qwen3 = {
  model_type: 'qwen3',
  attention_bias: false,
  bos_token_id: 151643,
  eos_token_id: 151645,
  head_dim: 128,
  hidden_act: 'silu',
  hidden_size: 1024,
  intermediate_size: 3072,
  max_position_embeddings: 40960,
  num_attention_heads: 16,
  num_hidden_layers: 28,
  num_key_value_heads: 8,
  rms_norm_eps: 1e-6,
  rope_scaling: null,
  rope_theta: 1000000,
  sliding_window: null,
  tie_word_embeddings: true,
  use_sliding_window: false,
  vocab_size: 151936,
};

function parse(
  changes: Record<string, unknown>,
  generation: Record<string, unknown> = {},
): { config: ModelConfig | null; problems: string[] } {
  const problems = new ProblemList();
  const config = parseModelConfig({ ...qwen3, ...changes }, generation, problems);
  return { config, problems: problems.items.map((item) => `${item.where}: ${item.message}`) };
}

describe('parseModelConfig', () => {
  it('reads Qwen3', () => {
    expect(parse({}, { eos_token_id: [151645, 151643], pad_token_id: 151643 })).toEqual({
      problems: [],
      config: {
        architecture: 'qwen3',
        hiddenSize: 1024,
        intermediateSize: 3072,
        layers: 28,
        heads: 16,
        kvHeads: 8,
        headDim: 128,
        vocabSize: 151936,
        rmsNormEps: 1e-6,
        ropeTheta: 1000000,
        ropeScaling: null,
        attentionBias: false,
        outputBias: false,
        qkNorm: true,
        tiedEmbeddings: true,
        contextLength: 40960,
        eosTokenIds: [151645, 151643],
        padTokenId: 151643,
        bosTokenId: 151643,
      },
    });
  });

  it('gives Qwen2 its biases and derives the head dimension', () => {
    const { config } = parse({ model_type: 'qwen2', head_dim: undefined, attention_bias: undefined });
    expect(config).toMatchObject({ architecture: 'qwen2', headDim: 64, attentionBias: true, outputBias: false, qkNorm: false });
  });

  it('reads Llama 3 scaling in both spellings', () => {
    const scaling = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192, rope_type: 'llama3' };
    const ropeScaling = { factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalContextLength: 8192 };
    expect(parse({ model_type: 'llama', rope_scaling: scaling }).config).toMatchObject({ ropeTheta: 1000000, ropeScaling });
    const modern = { rope_scaling: undefined, rope_theta: undefined, rope_parameters: { ...scaling, rope_theta: 500000 } };
    expect(parse({ model_type: 'llama', ...modern }).config).toMatchObject({ ropeTheta: 500000, ropeScaling });
  });

  it.each([
    [{ model_type: 'mamba' }, 'config.json, model_type: the architecture "mamba" is not supported.'],
    [{ model_type: undefined }, 'config.json, model_type: the architecture null is not supported.'],
    [
      { rope_scaling: { rope_type: 'yarn', factor: 4 } },
      'config.json, rope_scaling.rope_type: RoPE scaling of type "yarn" is not supported.',
    ],
    [{ rope_scaling: { type: 'llama3' } }, 'config.json, rope_scaling.factor: the field is missing.'],
    [{ hidden_size: '1024' }, 'config.json, hidden_size: "1024" is not a positive whole number.'],
    [{ num_hidden_layers: undefined }, 'config.json, num_hidden_layers: the field is missing.'],
    [{ num_key_value_heads: 5 }, 'config.json, num_key_value_heads: 16 attention heads do not divide into 5 key/value heads.'],
    [{ head_dim: 65 }, 'config.json, head_dim: a head dimension of 65 is odd; rotary embedding needs an even one.'],
    [{ hidden_act: 'gelu' }, 'config.json, hidden_act: the activation "gelu" is not supported, only "silu".'],
    [{ use_sliding_window: true }, 'config.json, use_sliding_window: sliding-window attention is not supported.'],
    [{ mlp_bias: true }, 'config.json, mlp_bias: biases in the MLP are not supported.'],
    [{ quantization_config: { quant_method: 'hqq' } }, 'config.json, quantization_config: checkpoints quantized by "hqq" cannot be read.'],
    [{ eos_token_id: 200000 }, 'config.json, eos_token_id: token 200000 lies outside the vocabulary of 151936.'],
    [{ eos_token_id: 'end' }, 'config.json, eos_token_id: "end" is not a token id or a list of token ids.'],
    [{ tie_word_embeddings: 1 }, 'config.json, tie_word_embeddings: 1 is not true or false.'],
    [{ rope_theta: -1 }, 'config.json, rope_theta: -1 is not a positive number.'],
  ])('names the problem of %j', (changes, problem) => {
    const result = parse(changes);
    expect(result.config).toBeNull();
    expect(result.problems).toContain(problem);
  });
});

describe('readModelConfig', () => {
  it('lists every problem in one error with a code', async () => {
    const dir = await copyOfModel('qwen3-tied');
    await patchJson(join(dir, 'config.json'), { hidden_size: 0, num_attention_heads: 'four' });
    const error = await readModelConfig(dir).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'model-invalid', message: expect.stringContaining(dir) });
    expect(error.problems).toHaveLength(2);
    await patchJson(join(dir, 'config.json'), { hidden_size: 32, num_attention_heads: 4, model_type: 'rwkv' });
    await expect(readModelConfig(dir)).rejects.toMatchObject({ code: 'unsupported', hint: expect.stringContaining('Qwen3') });
  });

  it('names a missing file and a broken one', async () => {
    const dir = await temporaryFolder();
    await expect(readModelConfig(dir)).rejects.toMatchObject({ code: 'not-found', message: expect.stringContaining('config.json') });
    await writeFile(join(dir, 'config.json'), '{"model_type": ');
    await expect(readModelConfig(dir)).rejects.toMatchObject({ code: 'model-invalid', message: expect.stringContaining('not valid JSON') });
    await writeFile(join(dir, 'config.json'), '[]');
    await expect(readModelConfig(dir)).rejects.toMatchObject({
      message: expect.stringContaining('a list where a JSON object is expected'),
    });
  });
});

describe('the models of the publications', () => {
  const qwen34b = { hidden_size: 2560, intermediate_size: 9728, num_hidden_layers: 36, num_attention_heads: 32 };
  const distill = {
    ...{ model_type: 'qwen2', hidden_size: 1536, intermediate_size: 8960, num_attention_heads: 12, num_key_value_heads: 2 },
    ...{ head_dim: undefined, attention_bias: undefined, tie_word_embeddings: false, rope_theta: 10000 },
  };

  it.each([
    ['Qwen3-0.6B', {}, { headDim: 128, qkNorm: true, attentionBias: false }, [1024, 2048]],
    ['Qwen3-4B', qwen34b, { headDim: 128, qkNorm: true, attentionBias: false }, [2560, 4096]],
    ['R1-Distill-Qwen-1.5B', distill, { headDim: 128, qkNorm: false, attentionBias: true, outputBias: false }, [1536, 1536]],
  ])('%s takes head dimension, norms and biases from its configuration, and divides into groups of 128', (_, changes, expected, output) => {
    const { config, problems } = parse(changes);
    expect(problems).toEqual([]);
    expect(config).toMatchObject(expected);
    expect(linearShape(config!, 'model.layers.0.self_attn.o_proj')).toEqual(output);
    for (const module of decoderLinears(config!)) expect(linearShape(config!, module)[1]! % 128).toBe(0);
  });
});

describe('parameters', () => {
  it('follow from the configuration', async () => {
    const { config } = parse({});
    expect(parameterCount(config!)).toBe(596_049_920);
    expect(decoderLinears(config!)).toHaveLength(28 * 7);
    expect(decoderLinears(config!)[13]).toBe('model.layers.1.mlp.down_proj');
    expect(linearShape(config!, 'model.layers.1.self_attn.o_proj')).toEqual([1024, 2048]);
    const llama = parameterShapes(await readModelConfig(goldenModel('llama-sharded-bias').dir));
    expect(llama.has('model.layers.0.self_attn.o_proj.bias')).toBe(true);
    expect(llama.has('lm_head.weight')).toBe(false);
  });
});
