import { readdirSync } from 'node:fs';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../../src-main/engine/backends/select.ts';
import { exportCheckpoint } from '../../../../../src-main/engine/formats/export.ts';
import { type GgufFormat, ggufFormats } from '../../../../../src-main/engine/formats/exporters/gguf.ts';
import { openGguf } from '../../../../../src-main/engine/formats/gguf/read.ts';
import { smokeLoad } from '../../../../../src-main/engine/formats/smoke-load.ts';
import { DenseLinear } from '../../../../../src-main/engine/model/linear-op.ts';
import { loadModel } from '../../../../../src-main/engine/model/load.ts';
import { roundToFolder } from '../../../../support/quantized-folder.ts';
import { temporaryFolder } from '../../../../support/temporary-folder.ts';
import { tinyArchitectureNames, writeTinyArchitecture } from '../../../../support/tiny-architectures.ts';
import { addTokenizer } from './tokenizers.ts';

const folder = temporaryFolder('gguf-dispatch');
const plain = (name: string) => path.join(folder, name);
const formats = Object.keys(ggufFormats) as GgufFormat[];

beforeAll(async () => {
  await selectBackend('wasm');
  for (const name of tinyArchitectureNames) {
    await writeTinyArchitecture(plain(name), name);
    addTokenizer(plain(name));
  }
});

describe.each(tinyArchitectureNames)('a quantized %s model', (name) => {
  it('is exported in every GGUF type, read back, and said to be rounded again', async () => {
    const { dir: sourceDir } = await roundToFolder(plain(name), path.join(folder, `${name}-w4`), 'W4G32');
    const tensors = tf.memory().numTensors;
    const losses: number[] = [];
    for (const format of formats) {
      const dir = path.join(folder, `${name}-${format}`);
      const log: string[] = [];
      const exported = await exportCheckpoint(dir, { sourceDir, format, modelName: 'tiny', onLog: (message) => log.push(message) });
      expect(readdirSync(dir)).toEqual([`tiny-${ggufFormats[format]}.gguf`]);
      expect(exported.weightBytes).toBe(exported.sizeBytes);
      expect(log).toEqual([expect.stringContaining(`rounded again, to ${ggufFormats[format]}`)]);
      const { largestDifference, allowedDifference } = exported.smokeLoad;
      expect(largestDifference).toBeGreaterThan(0);
      expect(largestDifference).toBeLessThanOrEqual(allowedDifference);
      losses.push(largestDifference);
      const file = await openGguf(path.join(dir, exported.files[0]!.name));
      expect([file.scalar('general.name'), file.scalar('roundoff.method'), file.scalar('roundoff.scheme')]).toEqual([
        'tiny',
        'rtn',
        'W4G32',
      ]);
      await file.close();
    }
    expect(losses).toEqual(losses.toSorted((a, b) => a - b));
    expect(tf.memory().numTensors).toBe(tensors);
  });
});

describe('a file that holds another model', () => {
  it('is found out even where the difference is small beside the rounding', async () => {
    const original = () => loadModel(plain('qwen3'));
    const options = { original, allowedShare: 1e-5, format: 'gguf-q4_0' };
    const swap = async (changed: Awaited<ReturnType<typeof original>>, share: number) => {
      const module = 'model.layers.1.mlp.down_proj';
      const values = await changed.parameter(`${module}.weight`).data<'float32'>();
      changed.setLinear(module, new DenseLinear(changed.parameters, module));
      changed.setParameter(
        `${module}.weight`,
        values.map((value) => value * share),
        changed.parameter(`${module}.weight`).shape,
      );
      return changed;
    };
    const round = async (model: Awaited<ReturnType<typeof original>>) => void (await swap(model, 1.1));
    const right = await smokeLoad({ ...options, round, reloaded: async () => swap(await original(), 1.1) });
    expect(right.largestDifference).toBeGreaterThan(0.01);
    expect(right.allowedDifference).toBeGreaterThanOrEqual(right.largestDifference);
    const wrong = smokeLoad({ ...options, round, reloaded: async () => swap(await original(), 1.099) });
    await expect(wrong).rejects.toMatchObject({ code: 'numeric' });
  });

  it('leaves nothing behind, and a model without a tokenizer is refused beforehand', async () => {
    await writeTinyArchitecture(plain('bare'), 'qwen3');
    const dir = path.join(folder, 'refused');
    await expect(exportCheckpoint(dir, { sourceDir: plain('bare'), format: 'gguf-f16' })).rejects.toThrow(/tokenizer.json is missing/);
    expect(readdirSync(folder)).not.toContain('refused');
  });
});
