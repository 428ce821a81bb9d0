import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import type { JsonObject } from '../../../../src-main/engine/data/json-file.ts';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import {
  activationShapes,
  activationsConfig,
  activationTensors,
  parseActivationsConfig,
} from '../../../../src-main/engine/formats/activation-layout.ts';
import { ProblemList } from '../../../../src-main/engine/formats/problems.ts';
import { saveQuantizedCheckpoint } from '../../../../src-main/engine/formats/quantized-checkpoint.ts';
import type { LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import { inputSites, type LayerActivations, plainActivations } from '../../../../src-main/engine/model/layer-activations.ts';
import { loadModel } from '../../../../src-main/engine/model/load.ts';
import { activationSizes } from '../../../../src-main/engine/model/parameters.ts';
import { goldenModel } from '../../../golden/fixtures.ts';
import { patchJson, roundLinear, temporaryFolder } from '../model-folder.ts';

beforeAll(async () => {
  await selectBackend('wasm');
});

const sizes = { attentionInput: 32, attentionOutput: 64, mlpInput: 32, mlpOutput: 48, headDim: 16 };
const quantizer = { bits: 4, symmetric: false, clipHigh: 0.9, clipLow: 0.95, outlierThreshold: null };
const matrix = (size: number, seed: number) => new RandomStream(seed, 'matrix').normals(size * size, size ** -0.5);

/** Every form a layer can have: none, one or both factors, each kind of quantizer, keys with and without queries. */
function layers(): (LayerActivations | null)[] {
  const full: LayerActivations = {
    attentionInput: { transform: { rows: 4, columns: 8, left: matrix(4, 1), right: matrix(8, 2) }, quantizer },
    attentionOutput: { transform: { rows: 4, columns: 16, left: matrix(4, 3), right: null }, quantizer: null },
    mlpInput: { transform: { rows: 4, columns: 8, left: null, right: matrix(8, 4) }, quantizer: { ...quantizer, bits: 8 } },
    mlpOutput: { transform: null, quantizer: { ...quantizer, symmetric: true, outlierThreshold: 6 } },
    keys: { transform: matrix(16, 5), queryTransform: matrix(16, 6), quantizer: { ...quantizer, bits: 2, clipHigh: 0 } },
    values: { quantizer: { ...quantizer, bits: 3 } },
  };
  const valuesOnly = { ...plainActivations(), values: { quantizer } };
  const transformOnly = { ...plainActivations(), mlpOutput: { ...full.mlpOutput, quantizer: null } };
  transformOnly.mlpOutput.transform = { rows: 12, columns: 4, left: matrix(12, 7), right: matrix(4, 8) };
  return [full, null, valuesOnly, transformOnly];
}

function parse(config: JsonObject, count: number) {
  const problems = new ProblemList();
  const parsed = parseActivationsConfig(config, count, sizes, problems);
  return { parsed, problems: problems.items.map(({ where, message }) => `${where}: ${message}`) };
}

const sectionOf = (list: unknown): JsonObject => ({ quantization_config: { quant_method: 'roundoff', layers: list } }) as JsonObject;

describe('the layers in config.json', () => {
  it('name exactly the matrices that are written, for every form', () => {
    const all = layers();
    const json = JSON.parse(JSON.stringify(all.map(activationsConfig))) as unknown[];
    expect(json[1]).toBeNull();
    const { parsed, problems } = parse(sectionOf(json), all.length);
    expect(problems).toEqual([]);
    for (const [index, layer] of all.entries()) {
      if (!layer) expect(parsed[index]).toBeNull();
      else {
        const written = new Map(activationTensors(index, layer).map(({ name, shape }) => [name, shape]));
        expect(activationShapes(index, parsed[index]!, sizes.headDim)).toEqual(written);
        for (const site of inputSites) expect(parsed[index]!.sites[site].quantizer).toEqual(layer[site].quantizer);
        expect(parsed[index]!.keys.quantizer).toEqual(layer.keys.quantizer);
        expect(parsed[index]!.values).toEqual(layer.values);
      }
    }
  });

  it('are null where nothing is done', () => {
    expect(activationsConfig(plainActivations())).toBeNull();
    expect(parse({}, 2)).toEqual({ parsed: [null, null], problems: [] });
    expect(parse({ quantization_config: { quant_method: 'gptq', layers: 'other' } }, 1).problems).toEqual([]);
  });

  it.each([
    ['text', 'layers'],
    ['too few', []],
    ['too many', [null, null]],
    ['an object', { 0: null }],
    ['a number', 4],
  ])('are refused as %s', (_, list) => {
    const { parsed, problems } = parse(sectionOf(list), 1);
    expect(parsed).toEqual([null]);
    expect(problems).toEqual(['config.json, quantization_config.layers: it is not a list of 1 layers.']);
  });

  /** A valid layer with one value put at a path. */
  function damaged(path: string, value: unknown): unknown {
    const [layer] = JSON.parse(JSON.stringify(layers().map(activationsConfig)));
    const steps = path.split('.');
    const parent = steps.slice(0, -1).reduce((at, step) => at[step], layer);
    parent[steps.at(-1)!] = value;
    return layer;
  }

  it.each<[string, unknown]>([
    ['attention_input', undefined],
    ['attention_input', []],
    ['mlp_output', 'none'],
    ['attention_input.transform', 1],
    ['attention_input.transform', undefined],
    ['attention_input.transform.rows', '4'],
    ['attention_input.transform.rows', 8],
    ['attention_input.transform', { rows: -4, columns: -8, left: true, right: true }],
    ['attention_input.transform', { rows: 0.5, columns: 64, left: true, right: true }],
    ['attention_input.transform', { rows: 2 ** 53, columns: 32 / 2 ** 53, left: true, right: true }],
    ['attention_input.transform.left', null],
    ['mlp_input.quantizer', 'int8'],
    ['mlp_input.quantizer', undefined],
    ['mlp_input.quantizer.bits', 1],
    ['mlp_input.quantizer.bits', 9],
    ['mlp_input.quantizer.bits', 3.5],
    ['mlp_input.quantizer.bits', '4'],
    ['mlp_input.quantizer.symmetric', 0],
    ['mlp_input.quantizer.clip_high', -0.1],
    ['mlp_input.quantizer.clip_low', JSON.parse('1e999')],
    ['mlp_input.quantizer.clip_low', null],
    ['mlp_input.quantizer.outlier_threshold', -1],
    ['mlp_input.quantizer.outlier_threshold', JSON.parse('1e999')],
    ['mlp_input.quantizer.outlier_threshold', undefined],
    ['keys', null],
    ['keys.transform', 'yes'],
    ['keys.query_transform', undefined],
    ['keys.quantizer.bits', 0],
    ['values', 7],
    ['values.quantizer', {}],
  ])('are reported with %s as %j, and read no further', (path, value) => {
    const { parsed, problems } = parse(sectionOf([null, damaged(path, value)]), 2);
    expect(parsed).toEqual([null, null]);
    expect(problems).toEqual(['config.json, quantization_config.layers[1]: its transforms or quantizers are not of the known form.']);
  });
});

describe('a checkpoint with transforms', () => {
  const sourceDir = goldenModel('qwen3-tied').dir;

  async function logitsOf(model: LanguageModel): Promise<Float32Array> {
    const logits = tf.tidy(() => model.logits(model.forward(tf.tensor2d([[3, 14, 15, 92, 65]], undefined, 'int32'))));
    const values = (await logits.data<'float32'>()).slice();
    logits.dispose();
    return values;
  }

  async function saved(change: (layer: LayerActivations) => void = () => undefined) {
    const model = await loadModel(sourceDir);
    expect(activationSizes(model.config)).toEqual(sizes);
    const [full] = layers();
    change(full!);
    model.setActivations(1, full!);
    const module = 'model.layers.0.mlp.up_proj';
    const packed = await roundLinear(model, module, 8, 16);
    const dir = join(await temporaryFolder(), 'out');
    const activations = model.layerActivations();
    await saveQuantizedCheckpoint(dir, { sourceDir, quantized: new Map([[module, packed]]), activations });
    model.dispose();
    return { dir, activations };
  }

  it('restores every matrix and quantizer exactly, and what they do to the logits', async () => {
    const before = tf.memory().numTensors;
    const { dir, activations } = await saved();
    const reloaded = await loadModel(dir);
    expect(reloaded.layerActivations()).toEqual(activations);
    const logits = await logitsOf(reloaded);
    reloaded.setActivations(1, activations[1]!);
    expect(await logitsOf(reloaded)).toEqual(logits);
    reloaded.setActivations(1, null);
    expect(await logitsOf(reloaded)).not.toEqual(logits);
    reloaded.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('is refused when a matrix holds no finite number, or is missing or of another size', async () => {
    const before = tf.memory().numTensors;
    const { dir } = await saved((layer) => {
      layer.attentionInput.transform!.left![5] = Number.NaN;
    });
    await expect(loadModel(dir)).rejects.toMatchObject({
      code: 'model-invalid',
      message: expect.stringContaining('model.layers.1.attention_input.left holds a value that is not a finite number'),
    });
    const { dir: other, activations } = await saved();
    const section = JSON.parse(JSON.stringify(activations.map(activationsConfig)));
    section[1].attention_output.transform.right = true;
    section[1].attention_input.transform = { rows: 8, columns: 4, left: true, right: true };
    const config = { quant_method: 'roundoff', format_version: 2, modules: {}, layers: section };
    await patchJson(join(other, 'config.json'), { quantization_config: config });
    const error = await loadModel(other).catch((thrown) => thrown);
    expect(error.code).toBe('model-invalid');
    const problems = error.problems.join('\n');
    expect(problems).toContain('model.layers.1.attention_output.right: the tensor is missing');
    expect(problems).toContain('model.layers.1.attention_input.left: its shape is [4, 4], but config.json implies [8, 8]');
    expect(tf.memory().numTensors).toBe(before);
  });
});
