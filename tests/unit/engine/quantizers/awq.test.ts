import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { quantizeStageSchema, type StageOf } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import { saveQuantizedCheckpoint } from '../../../../src-main/engine/formats/quantized-checkpoint.ts';
import { dequantizeStored } from '../../../../src-main/engine/formats/stored-linear.ts';
import { createRandomModel } from '../../../../src-main/engine/model/init.ts';
import type { LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import { loadModel } from '../../../../src-main/engine/model/load.ts';
import { LayerFeatures, strideFor } from '../../../../src-main/engine/quantizers/awq-features.ts';
import { applyFold, awqFolds, readLayerValues } from '../../../../src-main/engine/quantizers/awq-folds.ts';
import { Calibrator } from '../../../../src-main/engine/quantizers/calibrator.ts';
import { type QuantizeOptions, quantizeModel } from '../../../../src-main/engine/quantizers/quantize-model.ts';
import { type GoldenName, goldenModel, goldenNames } from '../../../golden/fixtures.ts';
import { temporaryFolder } from '../model-folder.ts';
import { testBackends } from '../ops/op-check.ts';
import { type TinyName, tinyConfigs, tinyModel, tinyNames } from '../rollouts/tiny-models.ts';

beforeAll(() => selectBackend('wasm'));

const samples = Array.from({ length: 8 }, (_, row) => Int32Array.from({ length: 16 }, (_, i) => (row * 37 + i * i * 5) % 41));

function stageOf(scheme: string, options: object = {}, overrides: [string, string | null][] = []): StageOf<'awq'> {
  return quantizeStageSchema.parse({
    type: 'quantize',
    method: 'awq',
    scheme: parseScheme(scheme),
    overrides: overrides.map(([pattern, written]) => ({ pattern, scheme: written && parseScheme(written) })),
    calibration: { path: 'given', samples: 8, sequenceLength: 16, seed: 0 },
    options,
  }) as StageOf<'awq'>;
}

/** Runs `work` on a golden model, by default with a few loud channels in its norms, and checks that nothing stays allocated. */
async function withModel<T>(name: GoldenName, work: (model: LanguageModel) => Promise<T>, loudness = 12): Promise<T> {
  const before = tf.memory().numTensors;
  const model = await loadModel(goldenModel(name).dir);
  try {
    for (const [parameter, tensor] of [...model.parameters]) {
      if (!parameter.endsWith('layernorm.weight')) continue;
      const values = tensor.dataSync<'float32'>().map((value, channel) => (channel % 11 === 3 ? value * loudness : value));
      model.setParameter(parameter, values, tensor.shape);
    }
    return await work(model);
  } finally {
    model.dispose();
    expect(tf.memory().numTensors).toBe(before);
  }
}

async function logitsOf(model: LanguageModel): Promise<Float32Array> {
  const logits = tf.tidy(() => model.logits(model.forward(tf.tensor2d([...samples[3]!, ...samples[5]!], [2, 16], 'int32'))));
  const values = (await logits.data<'float32'>()).slice();
  logits.dispose();
  return values;
}

const largest = (a: Float32Array, b: Float32Array) => a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);

describe('folding', () => {
  async function expectUnchanged(model: LanguageModel): Promise<void> {
    const expected = await logitsOf(model);
    const stream = new RandomStream(4, 'scales');
    for (let index = 0; index < model.config.layers; index++) {
      const values = await readLayerValues(model, index);
      for (const fold of awqFolds(model.config)) {
        const inFeatures = model.linear(`model.layers.${index}.${fold.consumers[0]}`).weight();
        const t = Float32Array.from({ length: inFeatures.shape[1] }, () => 4 ** (2 * stream.uniform() - 1));
        inFeatures.dispose();
        applyFold(values, index, fold, t);
      }
      for (const [name, changed] of values) model.setParameter(name, changed, model.parameter(name).shape);
    }
    expect(largest(await logitsOf(model), expected)).toBeLessThan(1e-4);
  }

  it.each(goldenNames)('scales of all folds leave the logits of %s as they are', (name) => withModel(name, expectUnchanged, 1));

  it.each(tinyNames)('and those of %s, with biases', async (name: TinyName) => {
    const model = tinyModel(name);
    await expectUnchanged(model);
    model.dispose();
  });

  it.each(testBackends.filter((backend) => backend !== 'wasm'))('and so they do on %s', async (backend) => {
    await selectBackend(backend);
    const model = createRandomModel({ ...tinyConfigs['qwen3, grouped queries'], layers: 1 }, 1, { deviation: 0.25 });
    await expectUnchanged(model);
    model.dispose();
    await selectBackend('wasm');
  });

  it('passes values to the attention output only where their shapes match', () => {
    const config = tinyConfigs['qwen3, grouped queries'];
    const producers = (heads: number, kvHeads: number, headDim: number) =>
      awqFolds({ ...config, heads, kvHeads, headDim }).map(({ producer }) => producer);
    const usual = ['input_layernorm', 'post_attention_layernorm', 'mlp.up_proj'];
    expect(producers(4, 4, 8)).toEqual([usual[0], 'self_attn.v_proj', ...usual.slice(1)]);
    expect(producers(4, 2, 8)).toEqual(usual);
    expect(producers(4, 4, 16)).toEqual(usual);
    expect(producers(8, 4, 8)).toEqual(usual);
  });
});

describe('the features of a layer', () => {
  it('hold means over all tokens, a strided sample and whole blocks', async () => {
    const before = tf.memory().numTensors;
    const model = tinyModel('qwen3, grouped queries');
    const [count, length] = [45, 100];
    const many = Array.from({ length: count }, (_, row) => Int32Array.from({ length }, (_, i) => (row * 7 + i * i) % 41));
    const calibrator = await Calibrator.start(model, many);
    const features = new LayerFeatures(0, calibrator);
    const seen: number[] = [];
    await calibrator.computeOutputs(0, {
      onLinearInput(module, input) {
        features.hooks.onLinearInput!(module, input);
        if (module === 'model.layers.0.self_attn.q_proj') for (const value of input.dataSync()) seen.push(value);
      },
    });
    const { meanMagnitude, sample } = await features.site('attentionInput');
    const n = model.config.hiddenSize;
    for (let channel = 0; channel < n; channel++) {
      let sum = 0;
      for (let i = channel; i < seen.length; i += n) sum += Math.abs(seen[i]!);
      expect(meanMagnitude[channel]).toBeCloseTo(sum / (count * length), 4);
    }
    const stride = strideFor(count * length, 2048);
    expect(stride).toBe(3);
    const rows = await sample.array();
    expect(rows.length).toBe(1500);
    for (const [row, values] of rows.entries()) expect(values).toEqual(seen.slice(row * stride * n, (row * stride + 1) * n));
    const blocks = features.attentionBlocks();
    expect(blocks.shape).toEqual([20, 100, n]);
    const second = Math.floor(45 / 20) * length * n;
    expect([...(blocks.arraySync()[1]![0] as number[])]).toEqual(seen.slice(second, second + n));
    expect((await features.site('mlpOutput')).sample.shape).toEqual([1500, model.config.intermediateSize]);
    blocks.dispose();
    features.dispose();
    await calibrator.dispose();
    model.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('take odd strides, so that no position of a sample is always left out', () => {
    expect([1, 2048, 2049, 4096, 65536].map((tokens) => strideFor(tokens, 2048))).toEqual([1, 1, 3, 3, 33]);
  });
});

describe('AWQ of a model', () => {
  it.each(goldenNames)('of %s computes with what is stored, norms and biases included', async (name) => {
    const dir = await temporaryFolder();
    const [result, actual, expected] = await withModel(name, async (model) => {
      const found = await quantizeModel(model, stageOf('W3G16'), { samples });
      const packed = await logitsOf(model);
      for (const [module, linear] of found.packed) {
        model.setParameter(`${module}.weight`, dequantizeStored(linear), [linear.outFeatures, linear.inFeatures]);
        model.restoreDense(module);
      }
      return [found, packed, await logitsOf(model)] as const;
    });
    expect(largest(actual, expected)).toBeLessThan(1e-4);
    const changed = [...result.parameters.keys()];
    for (const index of [0, 1])
      for (const norm of ['input', 'post_attention']) expect(changed).toContain(`model.layers.${index}.${norm}_layernorm.weight`);
    expect(changed.some((parameter) => parameter.endsWith('v_proj.bias'))).toBe(
      name === 'llama-sharded-bias' || name === 'qwen2-untied-f16',
    );
    const { packed, parameters, activations } = result;
    await saveQuantizedCheckpoint(`${dir}/saved`, { sourceDir: goldenModel(name).dir, quantized: packed, parameters, activations });
    const reloaded = await loadModel(`${dir}/saved`);
    expect(largest(await logitsOf(reloaded), actual)).toBeLessThan(1e-6);
    reloaded.dispose();
  });

  it.each(['activation', 'duo'])('with %s scaling loses less than plain rounding where channels are loud', async (scaling) => {
    const { layers } = await withModel('qwen3-tied', (model) => quantizeModel(model, stageOf('W3G16', { scaling }), { samples }));
    const ratios = layers.map(({ outputErrorVsRtn }) => outputErrorVsRtn!);
    expect(ratios.reduce((sum, value) => sum + value) / ratios.length).toBeLessThan(0.8);
  });

  it('reports the error against the original weight, scales undone', async () => {
    await withModel('llama-sharded-bias', async (model) => {
      const original = await readLayerValues(model, 0);
      const { packed, parameters, layers } = await quantizeModel(model, stageOf('W4G16'), { samples });
      const scale = (name: string) => {
        const [before, after] = [original.get(name)!, parameters.get(name)!.values];
        return Array.from(before, (value, i) => value / after[i]!);
      };
      const norm = scale('model.layers.0.input_layernorm.weight');
      const bias = scale('model.layers.0.self_attn.v_proj.bias');
      for (const [name, rows] of [
        ['q_proj', null],
        ['v_proj', bias],
      ] as const) {
        const module = `model.layers.0.self_attn.${name}`;
        const weight = original.get(`${module}.weight`)!;
        const restored = dequantizeStored(packed.get(module)!).map(
          (value, i) => (value / norm[i % 32]!) * (rows?.[Math.floor(i / 32)] ?? 1),
        );
        const expected = weight.reduce((sum, value, i) => sum + (value - restored[i]!) ** 2, 0) / weight.length;
        expect(layers.find((item) => item.name === module)!.weightError / expected).toBeCloseTo(1, 4);
      }
    });
  });

  it('gives the same result every time', async () => {
    const run = () => withModel('qwen2-bias', (model) => quantizeModel(model, stageOf('W4G16'), { samples }));
    expect(await run()).toEqual(await run());
  });

  it('can start from a model that is quantized already', async () => {
    await withModel('qwen3-tied', async (model) => {
      await quantizeModel(model, { type: 'quantize', method: 'rtn', scheme: parseScheme('W8'), options: { mseSearch: false } });
      const { packed } = await quantizeModel(model, stageOf('W3G16'), { samples });
      expect([...packed.values()].every(({ bits }) => bits === 3)).toBe(true);
      expect((await logitsOf(model)).every(Number.isFinite)).toBe(true);
    });
  });
});

describe('mixed precision', () => {
  it('leaves modules unquantized, but scaled with their neighbours', async () => {
    const check = async (model: LanguageModel) => {
      const expected = await logitsOf(model);
      const stage = stageOf('W8G16', {}, [
        ['*.k_proj', null],
        ['*.up_proj', null],
        ['*.o_proj', 'W8G8:sym'],
      ]);
      const { packed, parameters } = await quantizeModel(model, stage, { samples });
      expect([...packed.keys()].filter((module) => module.includes('layers.0'))).toEqual(
        ['self_attn.q_proj', 'self_attn.v_proj', 'self_attn.o_proj', 'mlp.gate_proj', 'mlp.down_proj'].map(
          (name) => `model.layers.0.${name}`,
        ),
      );
      expect(packed.get('model.layers.1.self_attn.o_proj')).toMatchObject({ symmetric: true, groupSize: 8 });
      for (const name of ['self_attn.k_proj', 'mlp.up_proj']) {
        expect(parameters.has(`model.layers.0.${name}.weight`)).toBe(true);
        expect(model.linear(`model.layers.0.${name}`).kind).toBe('dense');
      }
      const actual = await logitsOf(model);
      const sum = (squareOf: (i: number) => number) => expected.reduce((total, _, i) => total + squareOf(i) ** 2, 0);
      expect(sum((i) => actual[i]! - expected[i]!) / sum((i) => expected[i]!)).toBeLessThan(0.05 ** 2);
    };
    await withModel('qwen2-bias', check, 1);
  });

  it('does not touch what no quantized linear reads', async () => {
    await withModel('qwen3-tied', async (model) => {
      const { packed, parameters } = await quantizeModel(model, stageOf('W4G16', {}, [['*.self_attn.*', null]]), { samples });
      expect([...packed.keys()].every((module) => module.includes('.mlp.'))).toBe(true);
      expect([...parameters.keys()].every((name) => name.includes('post_attention_layernorm'))).toBe(true);
    });
  });

  it('quantizes activations where the scheme says so', async () => {
    await withModel('qwen3-tied', async (model) => {
      const { activations } = await quantizeModel(model, stageOf('W4A8KV4'), { samples });
      expect(activations[1]).toMatchObject({ mlpInput: { quantizer: { bits: 8 } }, keys: { quantizer: { bits: 4 } } });
      expect(model.activationOps(0)).not.toBeNull();
    });
  });
});

describe('what stops the work', () => {
  const run = (model: LanguageModel, options: QuantizeOptions = {}) => quantizeModel(model, stageOf('W4G16'), { samples, ...options });

  it('inputs that are not numbers, naming the linears that read them', () =>
    withModel('qwen3-tied', async (model) => {
      model.setParameter('model.layers.1.post_attention_layernorm.weight', new Float32Array(32).fill(Number.NaN), [32]);
      await expect(run(model)).rejects.toMatchObject({
        code: 'numeric',
        message: expect.stringMatching(/^model\.layers\.1\.mlp\.gate_proj, model\.layers\.1\.mlp\.up_proj: .*NaN/),
      });
    }));

  it('weights that are not numbers, naming the linears', () =>
    withModel('qwen3-tied', async (model) => {
      const name = 'model.layers.1.mlp.down_proj';
      model.setParameter(`${name}.weight`, new Float32Array(48 * 32).fill(Number.NaN), [32, 48]);
      await expect(run(model)).rejects.toMatchObject({ code: 'numeric', message: expect.stringMatching(`^${name}: `) });
    }));

  it('a cancellation, at once and without leaking', () =>
    withModel('qwen3-tied', async (model) => {
      const controller = new AbortController();
      const seen: string[] = [];
      const cancelled = run(model, {
        signal: controller.signal,
        onProgress: ({ detail }) => {
          seen.push(detail);
          controller.abort();
        },
      });
      await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
      expect(seen.length).toBe(1);
    }));

  it('nothing: silent channels and all-zero rows are quantized like others', () =>
    withModel('llama-sharded-bias', async (model) => {
      const norm = await model.parameter('model.layers.0.input_layernorm.weight').data<'float32'>();
      model.setParameter(
        'model.layers.0.input_layernorm.weight',
        norm.map((value, i) => (i < 5 ? 0 : value)),
        [32],
      );
      model.setParameter('model.layers.0.mlp.up_proj.weight', new Float32Array(48 * 32), [48, 32]);
      const { layers } = await run(model);
      for (const { weightError, outputError } of layers) expect(Number.isFinite(weightError) && Number.isFinite(outputError)).toBe(true);
      expect((await logitsOf(model)).every(Number.isFinite)).toBe(true);
    }));
});

it.each(testBackends.filter((backend) => backend !== 'wasm'))('AWQ on %s chooses the codes of wasm', async (backend) => {
  const run = async () => {
    const model = createRandomModel({ ...tinyConfigs['qwen3, grouped queries'], layers: 1 }, 1, { deviation: 0.25 });
    const result = await quantizeModel(model, stageOf('W3G16'), { samples: samples.slice(0, 2) });
    model.dispose();
    return result;
  };
  await selectBackend('wasm');
  const reference = await run();
  await selectBackend(backend);
  const before = tf.memory().numTensors;
  const result = await run();
  expect(tf.memory().numTensors).toBe(before);
  let [same, total] = [0, 0];
  for (const [module, { codes }] of result.packed) {
    total += codes.length;
    same += codes.reduce((sum, code, i) => sum + (code === reference.packed.get(module)!.codes[i] ? 1 : 0), 0);
  }
  expect(same / total).toBeGreaterThan(0.99);
});
