import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ExportFormat } from '#contract/recipe.ts';
import { selectBackend } from '../../../../../src-main/engine/backends/select.ts';
import { exportCheckpoint } from '../../../../../src-main/engine/formats/export.ts';
import type { PackedLinear } from '../../../../../src-main/engine/formats/packed-linear.ts';
import { packWholeCodes, transpose, wholeCodeWords } from '../../../../../src-main/engine/formats/packing.ts';
import { openCheckpoint, type TensorToWrite, writeSafetensors } from '../../../../../src-main/engine/formats/safetensors.ts';
import { inspectModel } from '../../../../../src-main/engine/model/inspect.ts';
import { loadModel } from '../../../../../src-main/engine/model/load.ts';
import { roundToFolder } from '../../../../support/quantized-folder.ts';
import { temporaryFolder } from '../../../../support/temporary-folder.ts';
import { writeTinyArchitecture } from '../../../../support/tiny-architectures.ts';

const folder = temporaryFolder('readers');
const plain = path.join(folder, 'plain');
let count = 0;
const nextFolder = () => path.join(folder, `out${++count}`);

beforeAll(async () => {
  await selectBackend('wasm');
  await writeTinyArchitecture(plain, 'qwen3');
});

async function exported(scheme: string, format: ExportFormat) {
  const { dir: sourceDir, quantized } = await roundToFolder(plain, nextFolder(), scheme);
  const dir = nextFolder();
  await exportCheckpoint(dir, { sourceDir, format });
  return { dir, quantized };
}

/** Changes `quantization_config`, by a path of keys. */
function patchSection(dir: string, change: (section: Record<string, unknown>) => void): void {
  const file = path.join(dir, 'config.json');
  const config = JSON.parse(readFileSync(file, 'utf8'));
  change(config.quantization_config);
  writeFileSync(file, JSON.stringify(config));
}

/** Rewrites the weights file with some tensors replaced; null removes one. */
async function replaceTensors(dir: string, changes: Record<string, TensorToWrite | null>): Promise<void> {
  const checkpoint = await openCheckpoint(dir);
  const tensors: TensorToWrite[] = [];
  for (const { name, dtype, shape } of checkpoint.tensors.values())
    if (!(name in changes)) tensors.push({ name, dtype, shape, values: await checkpoint.readBytes(name) });
  await checkpoint.close();
  await writeSafetensors(path.join(dir, 'model.safetensors'), [...tensors, ...Object.values(changes).filter((tensor) => tensor !== null)]);
}

async function problemsOf(dir: string): Promise<string> {
  const tensors = tf.memory().numTensors;
  const error = await loadModel(dir).catch((thrown) => thrown);
  expect(tf.memory().numTensors).toBe(tensors);
  return (error.problems ?? [String(error)]).join('\n');
}

describe('what a reader does not handle', () => {
  it.each<[ExportFormat, string, (section: Record<string, unknown>) => void, string]>([
    ['gptq', 'W4G32:sym', (s) => Object.assign(s, { bits: 5 }), 'quantization_config.bits: 5 is not supported, only 2, 3, 4 and 8'],
    ['gptq', 'W4G32:sym', (s) => Object.assign(s, { checkpoint_format: 'marlin' }), '"marlin" is not supported, only "gptq" and "gptq_v2"'],
    ['gptq', 'W4G32:sym', (s) => Object.assign(s, { dynamic: { '+:.*down_proj': { bits: 8 } } }), 'one scheme for all quantized modules'],
    ['gptq', 'W4G32:sym', (s) => Object.assign(s, { group_size: 0 }), '0 is not a group size'],
    ['gptq', 'W4G32:sym', (s) => Object.assign(s, { group_size: 16 }), 'its shape is [2, 64], but config.json implies [4, 64]'],
    ['awq', 'W4G32', (s) => Object.assign(s, { version: 'gemv' }), '"gemv" is not supported, only "gemm"'],
    ['awq', 'W4G32', (s) => Object.assign(s, { bits: 8 }), '8 is not supported, only 4'],
    ['bitsandbytes', 'NF4', (s) => Object.assign(s, { bnb_4bit_quant_type: 'fp4' }), '"fp4" is not supported, only "nf4"'],
    ['bitsandbytes', 'NF4', (s) => Object.assign(s, { load_in_4bit: false, load_in_8bit: true }), 'false is not supported, only true'],
    ['bitsandbytes', 'NF4', (s) => Object.assign(s, { bnb_4bit_quant_storage: 'bfloat16' }), '"bfloat16" is not supported, only "uint8"'],
    ['compressed-tensors', 'W4G32', (s) => Object.assign(s, { format: 'float-quantized' }), '"float-quantized" is not supported'],
    ['compressed-tensors', 'W4G32', (s) => Object.assign(s, { kv_cache_scheme: { num_bits: 8 } }), 'only float keys and values'],
    [
      'compressed-tensors',
      'W4G32',
      (s) => Object.assign((s.config_groups as Record<string, object>).group_0!, { input_activations: { num_bits: 8 } }),
      'only float activations',
    ],
    [
      'compressed-tensors',
      'W4G32',
      (s) => Object.assign((s.config_groups as Record<string, { weights: object }>).group_0!.weights, { type: 'float' }),
      '"float" is not supported, only "int"',
    ],
    ['gptq', 'W4G32:sym', (s) => Object.assign(s, { quant_method: 'hqq' }), 'checkpoints quantized by "hqq" cannot be read'],
  ])('is refused by name: %s of %s, case %#', async (format, scheme, change, message) => {
    const { dir } = await exported(scheme, format);
    patchSection(dir, change);
    expect(await problemsOf(dir)).toContain(message);
    const inspection = await inspectModel(dir);
    expect(inspection.problems.map((problem) => `${problem.where}: ${problem.message}`).join('\n')).toContain(message);
  });

  it('is a missing tensor, a quantized head, or a checkpoint without any quantized weight', async () => {
    const { dir } = await exported('W4G32:sym', 'gptq');
    await replaceTensors(dir, { 'model.layers.1.mlp.up_proj.scales': null });
    expect(await problemsOf(dir)).toContain('model.layers.1.mlp.up_proj.scales: the tensor is missing');
    const head: TensorToWrite = { name: 'lm_head.qweight', dtype: 'I32', shape: [1], values: new Int32Array(1) };
    await replaceTensors(dir, { 'lm_head.qweight': head });
    expect(await problemsOf(dir)).toContain('a quantized embedding or output head is not supported');
    const { dir: empty } = await exported('W4G32:sym', 'gptq');
    patchSection(empty, (section) => Object.assign(section, { quant_method: 'compressed-tensors', format: 'pack-quantized' }));
    expect(await problemsOf(empty)).toContain('no decoder linear has a tensor "weight_packed"');
  });

  it('is an ambiguous zero point, a group out of range, a scale that is no number', async () => {
    const { dir } = await exported('W4G32', 'gptq');
    const name = 'model.layers.0.mlp.up_proj';
    await replaceTensors(dir, {
      [`${name}.qzeros`]: { name: `${name}.qzeros`, dtype: 'I32', shape: [2, 12], values: new Int32Array(24).fill(-1) },
    });
    expect(await problemsOf(dir)).toContain(`${name}.qzeros: a zero point of 0 cannot be stored in format "gptq"`);
    const { dir: order } = await exported('W4G32:sym', 'gptq');
    await replaceTensors(order, {
      [`${name}.g_idx`]: { name: `${name}.g_idx`, dtype: 'I32', shape: [64], values: new Int32Array(64).fill(2) },
    });
    expect(await problemsOf(order)).toContain(`${name}.g_idx: a group lies outside 0 … 1`);
    const { dir: scales } = await exported('W4G32', 'awq');
    const values = new Float32Array(2 * 96).fill(Number.NaN);
    await replaceTensors(scales, { [`${name}.scales`]: { name: `${name}.scales`, dtype: 'F16', shape: [2, 96], values } });
    expect(await problemsOf(scales)).toContain(`${name}.scales: a scale is not a finite number`);
  });

  it('is another block size or table of NF4', async () => {
    const { dir } = await exported('NF4', 'bitsandbytes');
    const name = 'model.layers.0.mlp.up_proj.weight.quant_map';
    await replaceTensors(dir, { [name]: { name, dtype: 'F32', shape: [16], values: new Float32Array(16) } });
    expect(await problemsOf(dir)).toContain('its type, block sizes or tables are not those of NF4');
  });
});

describe('variants that readers understand', () => {
  it('are compressed-tensors weights packed before version 0.18, which leave bits unused', async () => {
    const { dir, quantized } = await exported('W3G32', 'compressed-tensors');
    const changes: Record<string, TensorToWrite> = {};
    for (const [module, linear] of quantized) {
      const { codes, zeros, outFeatures, inFeatures, groupSize } = linear as PackedLinear;
      const groups = inFeatures / groupSize;
      const add = (suffix: string, shape: number[], values: Int32Array) => {
        changes[`${module}.${suffix}`] = { name: `${module}.${suffix}`, dtype: 'I32', shape, values };
      };
      add('weight_packed', [outFeatures, wholeCodeWords(inFeatures, 3)], packWholeCodes(codes, outFeatures, inFeatures, 3));
      const words = wholeCodeWords(outFeatures, 3);
      const columns = packWholeCodes(transpose(zeros, outFeatures, groups), groups, outFeatures, 3);
      add('weight_zero_point', [words, groups], transpose(columns, groups, words));
    }
    await replaceTensors(dir, changes);
    const model = await loadModel(dir);
    expect(await model.storedLinears()).toEqual(quantized);
    model.dispose();
  });

  it('are targets by name, pattern or class', async () => {
    const { dir, quantized } = await exported('W4G32', 'compressed-tensors');
    patchSection(dir, (section) => {
      const groups = section.config_groups as Record<string, { targets: string[] }>;
      const wrong = JSON.parse(JSON.stringify(groups.group_0)) as { targets: string[]; weights: { group_size: number } };
      wrong.weights.group_size = 8;
      groups.group_0!.targets = [
        're:.*self_attn.*',
        're:.*mlp\\.(up|gate)_proj$',
        'model.layers.0.mlp.down_proj',
        'model.layers.1.mlp.down_proj',
      ];
      Object.assign(groups, { group_1: wrong });
    });
    const model = await loadModel(dir);
    expect(await model.storedLinears()).toEqual(quantized);
    model.dispose();
  });

  it('are GPTQ checkpoints without group index, and scales of another float type', async () => {
    const { dir, quantized } = await exported('W4G32:sym', 'gptq');
    const name = 'model.layers.0.mlp.up_proj';
    const linear = quantized.get(name) as PackedLinear;
    const scales: TensorToWrite = { name: `${name}.scales`, dtype: 'F32', shape: [2, 96], values: transpose(linear.scales, 96, 2) };
    await replaceTensors(dir, { [`${name}.g_idx`]: null, [`${name}.scales`]: scales });
    const model = await loadModel(dir);
    expect((await model.storedLinears()).get(name)).toEqual({ ...linear, scaleType: 'float32' });
    model.dispose();
  });
});
