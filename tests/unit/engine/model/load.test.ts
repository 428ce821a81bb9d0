import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { openCheckpoint, type TensorToWrite, writeSafetensors } from '../../../../src-main/engine/formats/safetensors.ts';
import { loadModel } from '../../../../src-main/engine/model/load.ts';
import { copyOfModel, patchJson } from '../model-folder.ts';

beforeAll(async () => {
  await selectBackend('wasm');
});

/** Rewrites a model's weights; `change` may edit, drop (null) or replace tensors. */
async function rewriteWeights(
  dir: string,
  change: (tensor: TensorToWrite & { values: Float32Array }) => TensorToWrite | null,
): Promise<void> {
  const checkpoint = await openCheckpoint(dir);
  const tensors: TensorToWrite[] = [];
  for (const { name, shape } of checkpoint.tensors.values()) {
    const changed = change({ name, shape, dtype: 'F32', values: await checkpoint.readFloats(name) });
    if (changed) tensors.push(changed);
  }
  await checkpoint.close();
  await writeSafetensors(join(dir, 'model.safetensors'), tensors);
}

async function failure(dir: string): Promise<{ code: string; problems: string[] }> {
  const tensors = tf.memory().numTensors;
  const error = await loadModel(dir).then(
    () => expect.unreachable('the model loaded'),
    (thrown) => thrown,
  );
  expect(tf.memory().numTensors).toBe(tensors);
  return error;
}

describe('loadModel', () => {
  it('lists missing tensors, wrong shapes and unreadable types together', async () => {
    const dir = await copyOfModel('qwen3-tied');
    await rewriteWeights(dir, (tensor) => {
      if (tensor.name === 'model.norm.weight') return null;
      if (tensor.name.endsWith('0.mlp.down_proj.weight')) return { ...tensor, shape: [48, 32] };
      if (tensor.name.endsWith('1.mlp.up_proj.weight')) return { ...tensor, dtype: 'I32', values: new Int32Array(48 * 32) };
      return tensor;
    });
    const { code, problems } = await failure(dir);
    expect(code).toBe('model-invalid');
    expect(problems).toEqual([
      expect.stringMatching(
        /^model\.layers\.0\.mlp\.down_proj\.weight: its shape is \[48, 32\], but config\.json implies \[32, 48\]\. Take/,
      ),
      expect.stringMatching(/^model\.layers\.1\.mlp\.up_proj\.weight: it is stored as I32\. Use the original/),
      expect.stringMatching(/^model\.norm\.weight: the tensor is missing\. Download/),
    ]);
  });

  it('names NaN and infinity by tensor, row and column', async () => {
    const dir = await copyOfModel('qwen3-tied');
    await rewriteWeights(dir, (tensor) => {
      if (tensor.name === 'model.norm.weight') tensor.values[3] = Number.POSITIVE_INFINITY;
      if (tensor.name.endsWith('1.self_attn.k_proj.weight')) tensor.values[2 * 32 + 5] = Number.NaN;
      return tensor;
    });
    expect((await failure(dir)).problems).toEqual([
      expect.stringContaining('model.layers.1.self_attn.k_proj.weight: it holds NaN at row 2, column 5.'),
      expect.stringContaining('model.norm.weight: it holds Infinity at element 3.'),
    ]);
  });

  it('names a missing shard', async () => {
    const dir = await copyOfModel('llama-sharded-bias');
    await rm(join(dir, 'model-00003-of-00007.safetensors'));
    const { code, problems } = await failure(dir);
    expect(code).toBe('not-found');
    expect(problems).toEqual([expect.stringContaining('model-00003-of-00007.safetensors: this shard')]);
  });

  it('notices a configuration that does not belong to the weights', async () => {
    const dir = await copyOfModel('llama-rope-scaled');
    await patchJson(join(dir, 'config.json'), { intermediate_size: 64, num_hidden_layers: 3 });
    const { problems } = await failure(dir);
    expect(problems.filter((problem) => problem.includes('implies'))).toHaveLength(6);
    expect(problems.filter((problem) => problem.includes('is missing'))).toHaveLength(9);
  });

  it('stops when cancelled', async () => {
    const tensors = tf.memory().numTensors;
    const loading = loadModel(await copyOfModel('qwen3-tied'), { signal: AbortSignal.abort() });
    await expect(loading).rejects.toMatchObject({ code: 'cancelled' });
    expect(tf.memory().numTensors).toBe(tensors);
  });
});
