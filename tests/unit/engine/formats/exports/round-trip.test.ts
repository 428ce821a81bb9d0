import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ExportFormat } from '#contract/recipe.ts';
import { selectBackend } from '../../../../../src-main/engine/backends/select.ts';
import { exportCheckpoint } from '../../../../../src-main/engine/formats/export.ts';
import { openCheckpoint } from '../../../../../src-main/engine/formats/safetensors.ts';
import { inspectModel } from '../../../../../src-main/engine/model/inspect.ts';
import type { LanguageModel } from '../../../../../src-main/engine/model/language-model.ts';
import { loadModel } from '../../../../../src-main/engine/model/load.ts';
import { roundToFolder, scattered } from '../../../../support/quantized-folder.ts';
import { temporaryFolder } from '../../../../support/temporary-folder.ts';
import { tinyArchitectureNames, writeTinyArchitecture } from '../../../../support/tiny-architectures.ts';
import { testBackends } from '../../ops/op-check.ts';

const folder = temporaryFolder('round-trip');
const sourceOf = (name: string) => path.join(folder, name);
let count = 0;
const nextFolder = () => path.join(folder, `out${++count}`);

beforeAll(async () => {
  await selectBackend('wasm');
  for (const name of tinyArchitectureNames) await writeTinyArchitecture(sourceOf(name), name);
});

async function logitsOf(model: LanguageModel): Promise<Float32Array> {
  const logits = tf.tidy(() => model.logits(model.forward(tf.tensor2d([[3, 14, 15, 9, 2, 6]], undefined, 'int32'))));
  const values = (await logits.data<'float32'>()).slice();
  logits.dispose();
  return values;
}

const readJson = (dir: string, file = 'config.json') => JSON.parse(readFileSync(path.join(dir, file), 'utf8'));

/** Every format with schemes it expresses. */
const cases: [ExportFormat, string][] = [
  ['roundoff', 'W3G32'],
  ['roundoff', 'NF4:double'],
  ['dequantized', 'W5'],
  ['dequantized', 'NF4'],
  ['gptq', 'W2G32:sym'],
  ['gptq', 'W3G32:sym'],
  ['gptq', 'W4G32'],
  ['gptq', 'W8'],
  ['gptq-v2', 'W2G32'],
  ['gptq-v2', 'W3'],
  ['gptq-v2', 'W4G32:sym'],
  ['gptq-v2', 'W8G16'],
  ['awq', 'W4G16'],
  ['awq', 'W4G32:sym'],
  ['bitsandbytes', 'NF4'],
  ['bitsandbytes', 'NF4:double'],
  ['compressed-tensors', 'W2G32'],
  ['compressed-tensors', 'W3G16'],
  ['compressed-tensors', 'W4:sym'],
  ['compressed-tensors', 'W5G32:sym'],
  ['compressed-tensors', 'W6'],
  ['compressed-tensors', 'W7G16'],
  ['compressed-tensors', 'W8:sym'],
];

describe.each(tinyArchitectureNames)('an export of %s', (name) => {
  it.each(cases)('as %s of %s reads back as the same codes and gives the same logits', async (format, scheme) => {
    const { dir: sourceDir, quantized } = await roundToFolder(sourceOf(name), nextFolder(), scheme);
    const before = tf.memory().numTensors;
    const dir = nextFolder();
    const { smokeLoad, sizeBytes, files } = await exportCheckpoint(dir, { sourceDir, format });
    expect(smokeLoad.largestDifference).toBeLessThanOrEqual(1e-5);
    expect(smokeLoad.tokens).toBe(32);
    expect(readdirSync(dir).sort()).toEqual(files.map((file) => file.name).sort());
    expect(sizeBytes).toBe(files.reduce((sum, file) => sum + file.sizeBytes, 0));
    const [original, reloaded] = [await loadModel(sourceDir), await loadModel(dir)];
    if (format === 'dequantized') expect((await reloaded.storedLinears()).size).toBe(0);
    else expect(await reloaded.storedLinears()).toEqual(quantized);
    expect(await logitsOf(reloaded)).toEqual(await logitsOf(original));
    original.dispose();
    reloaded.dispose();
    expect(tf.memory().numTensors).toBe(before);
    expect(
      (await inspectModel(dir)).problems.filter((problem) => problem.severity === 'error' && !problem.where.includes('tokenizer')),
    ).toEqual([]);
  });
});

describe.runIf(testBackends.includes('webgpu'))('on webgpu', () => {
  it('reads a packed and a dense export back alike', async () => {
    const { dir: sourceDir } = await roundToFolder(sourceOf('qwen3'), nextFolder(), 'W4G32');
    await selectBackend('webgpu');
    try {
      for (const format of ['gptq-v2', 'dequantized'] as const) {
        const { smokeLoad } = await exportCheckpoint(nextFolder(), { sourceDir, format });
        expect(smokeLoad.largestDifference).toBeLessThanOrEqual(smokeLoad.allowedDifference);
      }
    } finally {
      await selectBackend('wasm');
    }
  });
});

describe('the tensors of a linear', () => {
  const module = 'model.layers.0.mlp.down_proj';

  it.each<[ExportFormat, string, Record<string, (string | number)[]>]>([
    ['bitsandbytes', 'NF4', { weight: ['U8', 3072, 1], 'weight.absmax': ['F32', 96], 'weight.quant_map': ['F32', 16] }],
    [
      'bitsandbytes',
      'NF4:double',
      {
        weight: ['U8', 3072, 1],
        'weight.absmax': ['U8', 96],
        'weight.quant_map': ['F32', 16],
        'weight.nested_absmax': ['F32', 1],
        'weight.nested_quant_map': ['F32', 256],
      },
    ],
    ['awq', 'W4G32', { qweight: ['I32', 96, 8], qzeros: ['I32', 3, 8], scales: ['F16', 3, 64] }],
    ['gptq-v2', 'W3G32', { qweight: ['I32', 9, 64], qzeros: ['I32', 3, 6], scales: ['F16', 3, 64], g_idx: ['I32', 96] }],
    ['compressed-tensors', 'W4:sym', { weight_packed: ['I32', 64, 12], weight_scale: ['F16', 64, 1], weight_shape: ['I64', 2] }],
    [
      'compressed-tensors',
      'W4G32',
      { weight_packed: ['I32', 64, 12], weight_scale: ['F16', 64, 3], weight_shape: ['I64', 2], weight_zero_point: ['I32', 8, 3] },
    ],
  ])('in format %s at %s have the names, types and shapes loaders look for', async (format, scheme, expected) => {
    const { dir: sourceDir } = await roundToFolder(sourceOf('qwen3'), nextFolder(), scheme);
    const dir = nextFolder();
    await exportCheckpoint(dir, { sourceDir, format });
    const checkpoint = await openCheckpoint(dir);
    const own = [...checkpoint.tensors.values()].filter(({ name }) => name.startsWith(`${module}.`));
    const found = Object.fromEntries(own.map(({ name, dtype, shape }) => [name.slice(module.length + 1), [dtype, ...shape]]));
    if (format === 'bitsandbytes') {
      const state = 'weight.quant_state.bitsandbytes__nf4';
      const json = JSON.parse(Buffer.from(await checkpoint.readBytes(`${module}.${state}`)).toString());
      expect(json).toMatchObject({ quant_type: 'nf4', blocksize: 64, shape: [64, 96] });
      if (scheme === 'NF4:double') expect(json).toMatchObject({ nested_blocksize: 256, nested_dtype: 'float32' });
      expect(json.nested_offset !== undefined).toBe(scheme === 'NF4:double');
      delete found[state];
    }
    expect(found).toEqual(expected);
    await checkpoint.close();
  });

  it('hold zero points less one in the first GPTQ format, as they are in the second', async () => {
    const { dir: sourceDir } = await roundToFolder(sourceOf('qwen3'), nextFolder(), 'W4G32:sym');
    for (const [format, word] of [
      ['gptq', 0x77777777],
      ['gptq-v2', 0x88888888],
    ] as const) {
      const dir = nextFolder();
      await exportCheckpoint(dir, { sourceDir, format });
      const checkpoint = await openCheckpoint(dir);
      expect(new Set(await checkpoint.readInts(`${module}.qzeros`))).toEqual(new Set([word | 0]));
      await checkpoint.close();
    }
  });
});

describe('a GPTQ export', () => {
  it('carries what loaders ask for, in both configuration files', async () => {
    const { dir: sourceDir } = await roundToFolder(sourceOf('llama'), nextFolder(), 'W4G32:sym');
    const dir = nextFolder();
    await exportCheckpoint(dir, { sourceDir, format: 'gptq' });
    const section = {
      quant_method: 'gptq',
      bits: 4,
      group_size: 32,
      desc_act: false,
      sym: true,
      checkpoint_format: 'gptq',
      true_sequential: true,
    };
    expect(readJson(dir)).toMatchObject({ model_type: 'llama', dtype: 'float16', quantization_config: section });
    expect(readJson(dir, 'quantize_config.json')).toEqual(readJson(dir).quantization_config);
    const checkpoint = await openCheckpoint(dir);
    const module = 'model.layers.0.mlp.down_proj';
    const shapes = ['qweight', 'qzeros', 'scales', 'g_idx'].map((tensor) => checkpoint.entry(`${module}.${tensor}`));
    expect(shapes.map(({ dtype, shape }) => [dtype, ...shape])).toEqual([
      ['I32', 12, 64],
      ['I32', 3, 8],
      ['F16', 3, 64],
      ['I32', 96],
    ]);
    expect(new Set(await checkpoint.readInts(`${module}.qzeros`))).toEqual(new Set([0x77777777]));
    expect(checkpoint.entry('model.layers.0.self_attn.q_proj.bias').dtype).toBe('F16');
    expect(checkpoint.metadata.format).toBe('pt');
    await checkpoint.close();
  });

  it.each(['gptq', 'gptq-v2', 'compressed-tensors'] as const)('as %s keeps scattered groups by their index', async (format) => {
    const change = (linear: Parameters<typeof scattered>[0]) => scattered(linear);
    const { dir: sourceDir, quantized } = await roundToFolder(sourceOf('qwen2'), nextFolder(), 'W4G32:sym', { change: change as never });
    const dir = nextFolder();
    await exportCheckpoint(dir, { sourceDir, format });
    const reloaded = await loadModel(dir);
    expect(await reloaded.storedLinears()).toEqual(quantized);
    reloaded.dispose();
    const section = readJson(dir).quantization_config;
    if (format === 'compressed-tensors') expect(section.config_groups.group_0.weights.actorder).toBe('group');
    else expect(section.desc_act).toBe(true);
  });
});

describe('a compressed-tensors export', () => {
  it('holds mixed precision and linears left in float', async () => {
    const overrides = [
      { pattern: '*.down_proj', scheme: { bits: 8, symmetric: true, strategy: 'channel', groupSize: null } as const },
      { pattern: 'layers.1.self_attn.o_proj', scheme: null },
    ];
    const { dir: sourceDir, quantized } = await roundToFolder(sourceOf('qwen3'), nextFolder(), 'W3G32', { overrides });
    const dir = nextFolder();
    await exportCheckpoint(dir, { sourceDir, format: 'compressed-tensors' });
    const reloaded = await loadModel(dir);
    expect(await reloaded.storedLinears()).toEqual(quantized);
    reloaded.dispose();
    const { config_groups: groups, ignore } = readJson(dir).quantization_config;
    expect(ignore).toEqual(['lm_head', 'model.layers.1.self_attn.o_proj']);
    expect(Object.values(groups).map((group) => (group as { weights: object; targets: string[] }).targets.length)).toEqual([11, 2]);
  });
});

describe('an export as roundoff', () => {
  it('turns another tool’s checkpoint into one of ours', async () => {
    const { dir: sourceDir, quantized } = await roundToFolder(sourceOf('qwen2'), nextFolder(), 'W4G32');
    const [gptq, back] = [nextFolder(), nextFolder()];
    await exportCheckpoint(gptq, { sourceDir, format: 'gptq-v2' });
    await exportCheckpoint(back, { sourceDir: gptq, format: 'roundoff' });
    const reloaded = await loadModel(back);
    expect(await reloaded.storedLinears()).toEqual(quantized);
    reloaded.dispose();
    const awq = nextFolder();
    await exportCheckpoint(awq, { sourceDir: gptq, format: 'awq' });
    expect(readJson(awq).quantization_config).toMatchObject({
      quant_method: 'awq',
      bits: 4,
      group_size: 32,
      zero_point: true,
      version: 'gemm',
    });
  });

  it('copies a plain model', async () => {
    const dir = nextFolder();
    await exportCheckpoint(dir, { sourceDir: sourceOf('qwen2'), format: 'roundoff' });
    expect(readJson(dir)).not.toHaveProperty('quantization_config');
  });
});
