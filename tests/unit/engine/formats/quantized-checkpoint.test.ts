import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { type PackedLinear, packedLinearBytes } from '../../../../src-main/engine/formats/packed-linear.ts';
import { saveQuantizedCheckpoint } from '../../../../src-main/engine/formats/quantized-checkpoint.ts';
import { openCheckpoint } from '../../../../src-main/engine/formats/safetensors.ts';
import { decoderLinears, type LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import { PackedLinearOp } from '../../../../src-main/engine/model/linear-op.ts';
import { loadModel } from '../../../../src-main/engine/model/load.ts';
import { goldenModel } from '../../../golden/fixtures.ts';
import { copyOfModel, patchJson, roundLinear, temporaryFolder } from '../model-folder.ts';

beforeAll(async () => {
  await selectBackend('wasm');
});

async function logitsOf(model: LanguageModel): Promise<Float32Array> {
  const ids = tf.tensor2d([[3, 14, 15, 92, 65]], undefined, 'int32');
  const logits = tf.tidy(() => model.logits(model.forward(ids)));
  const values = await logits.data<'float32'>();
  tf.dispose([ids, logits]);
  return values.slice();
}

/** Quantizes every linear of a golden model in memory, widths and group sizes mixed, one module with scattered groups. */
async function quantizedModel(dir: string): Promise<{ model: LanguageModel; quantized: Map<string, PackedLinear> }> {
  const model = await loadModel(dir);
  const quantized = new Map<string, PackedLinear>();
  const widths = [2, 3, 4, 5, 6, 7, 8] as const;
  for (const [index, module] of decoderLinears(model.config).entries()) {
    const packed = await roundLinear(model, module, widths[index % 7]!, index % 2 === 0 ? 16 : 48);
    if (index === 4) packed.groupIndex = Int32Array.from({ length: packed.inFeatures }, (_, input) => input % 2);
    quantized.set(module, packed);
    model.setLinear(module, new PackedLinearOp(model.parameters, module, packed));
  }
  return { model, quantized };
}

describe('saveQuantizedCheckpoint', () => {
  it.each(['qwen3-untied-bf16', 'qwen2-bias', 'llama-sharded-bias'] as const)('restores exactly the quantized %s', async (name) => {
    const tensors = tf.memory().numTensors;
    const sourceDir = goldenModel(name).dir;
    const { model, quantized } = await quantizedModel(sourceDir);
    const expected = await logitsOf(model);
    model.dispose();
    const dir = join(await temporaryFolder(), 'packed');
    await saveQuantizedCheckpoint(dir, { sourceDir, quantized });
    const reloaded = await loadModel(dir);
    expect(await logitsOf(reloaded)).toEqual(expected);
    expect([...(await reloaded.storedLinears())]).toEqual([...quantized]);
    reloaded.dispose();
    expect(tf.memory().numTensors).toBe(tensors);
  });

  it('restores symmetric grids, whose zero point is not stored', async () => {
    const sourceDir = goldenModel('qwen3-tied').dir;
    const model = await loadModel(sourceDir);
    const module = 'model.layers.1.mlp.down_proj';
    const packed = await roundLinear(model, module, 4, 24);
    model.dispose();
    const symmetric = { ...packed, symmetric: true, zeros: packed.zeros.map(() => 8) };
    const dir = join(await temporaryFolder(), 'out');
    await saveQuantizedCheckpoint(dir, { sourceDir, quantized: new Map([[module, symmetric]]) });
    const reloaded = await loadModel(dir);
    expect((await reloaded.storedLinears()).get(module)).toEqual(symmetric);
    reloaded.dispose();
  });

  it('stores the bytes it announces and gives equal folders equal hashes', async () => {
    const sourceDir = goldenModel('qwen3-tied').dir;
    const { model, quantized } = await quantizedModel(sourceDir);
    model.dispose();
    const parent = await temporaryFolder();
    const first = await saveQuantizedCheckpoint(join(parent, 'a'), { sourceDir, quantized });
    const second = await saveQuantizedCheckpoint(join(parent, 'b'), { sourceDir, quantized });
    expect(second.sha256).toBe(first.sha256);
    const checkpoint = await openCheckpoint(join(parent, 'a'));
    for (const [module, packed] of quantized) {
      const stored = [...checkpoint.tensors.values()].filter((tensor) => tensor.name.startsWith(`${module}.`));
      expect(stored.reduce((sum, tensor) => sum + tensor.sizeBytes, 0)).toBe(packedLinearBytes(packed));
    }
    await checkpoint.close();
    expect(first.files.map((file) => file.name)).toEqual(['config.json', 'generation_config.json', 'model.safetensors']);
  });

  it('copies a model that was not quantized', async () => {
    const sourceDir = goldenModel('llama-sharded-bias').dir;
    const dir = join(await temporaryFolder(), 'copy');
    await saveQuantizedCheckpoint(dir, { sourceDir, quantized: new Map() });
    const [original, copy] = [await loadModel(sourceDir), await loadModel(dir)];
    expect(await logitsOf(copy)).toEqual(await logitsOf(original));
    original.dispose();
    copy.dispose();
  });

  it('refuses to save a part of what is packed in the source', async () => {
    const sourceDir = goldenModel('qwen3-tied').dir;
    const { model, quantized } = await quantizedModel(sourceDir);
    model.dispose();
    const parent = await temporaryFolder();
    await saveQuantizedCheckpoint(join(parent, 'packed'), { sourceDir, quantized });
    const partial = saveQuantizedCheckpoint(join(parent, 'partial'), { sourceDir: join(parent, 'packed'), quantized: new Map() });
    await expect(partial).rejects.toMatchObject({ code: 'bad-input', message: expect.stringContaining('already quantized') });
  });

  it('refuses linears of another model and an occupied folder, leaving nothing behind', async () => {
    const sourceDir = goldenModel('qwen3-tied').dir;
    const { model, quantized } = await quantizedModel(goldenModel('qwen3-untied-bf16').dir);
    model.dispose();
    const parent = await temporaryFolder();
    await expect(saveQuantizedCheckpoint(join(parent, 'out'), { sourceDir, quantized })).rejects.toMatchObject({ code: 'bad-input' });
    const occupied = await copyOfModel('qwen3-tied');
    await expect(saveQuantizedCheckpoint(occupied, { sourceDir, quantized: new Map() })).rejects.toThrow(/not empty/);
    expect(await readdir(parent)).toEqual([]);
    expect(await readdir(dirname(occupied))).toEqual(['qwen3-tied']);
  });
});

describe('loading a damaged packed checkpoint', () => {
  async function savedCheckpoint(): Promise<string> {
    const sourceDir = goldenModel('qwen3-tied').dir;
    const { model, quantized } = await quantizedModel(sourceDir);
    model.dispose();
    const dir = join(await temporaryFolder(), 'packed');
    await saveQuantizedCheckpoint(dir, { sourceDir, quantized });
    return dir;
  }

  it.each([
    ['an unknown version', { format_version: 9 }, 'format version 9 is unknown'],
    ['no modules', { modules: {} }, 'names no quantized module'],
    [
      'an unknown module',
      { modules: { lm_head: { bits: 4, symmetric: true, group_size: 16, group_index: false } } },
      'not a decoder linear',
    ],
    [
      'impossible bits',
      { modules: { 'model.layers.0.mlp.up_proj': { bits: 9, symmetric: true, group_size: 16, group_index: false } } },
      'is not a scheme',
    ],
    [
      'another group size',
      { modules: { 'model.layers.0.mlp.up_proj': { bits: 7, symmetric: false, group_size: 8, group_index: false } } },
      'model.layers.0.mlp.up_proj.scales',
    ],
  ])('names %s', async (_, changes, message) => {
    const tensors = tf.memory().numTensors;
    const dir = await savedCheckpoint();
    const { quantization_config: section } = JSON.parse(await readFile(join(dir, 'config.json'), 'utf8'));
    await patchJson(join(dir, 'config.json'), { quantization_config: { ...section, ...changes } });
    const error = await loadModel(dir).catch((thrown) => thrown);
    expect(error.problems.join('\n')).toContain(message);
    expect(tf.memory().numTensors).toBe(tensors);
  });
});
