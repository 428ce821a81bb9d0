import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type QuantizationMethod, type QuantizeStage, quantizeStageSchema } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { saveQuantizedCheckpoint } from '../../../../src-main/engine/formats/quantized-checkpoint.ts';
import { openCheckpoint } from '../../../../src-main/engine/formats/safetensors.ts';
import { loadModel } from '../../../../src-main/engine/model/load.ts';
import { quantizeModel } from '../../../../src-main/engine/quantizers/quantize-model.ts';
import {
  type QuantizeCheckpointOptions,
  quantizeCheckpoint,
  workSuffix,
} from '../../../../src-main/engine/quantizers/streaming/quantize-checkpoint.ts';
import { goldenModel } from '../../../golden/fixtures.ts';

let folder: string;
beforeAll(async () => {
  await selectBackend('wasm');
  folder = mkdtempSync(join(tmpdir(), 'roundoff-streaming-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const samples = Array.from({ length: 6 }, (_, index) => Int32Array.from({ length: 16 }, (_, i) => (7 * i + 5 * index) % 60));
const metadata = { method: 'test' };
let count = 0;
const fresh = () => join(folder, `out-${count++}`);

function stageOf(method: QuantizationMethod, scheme: string, options: object = {}, more: object = {}): QuantizeStage {
  const calibration = { path: 'given', samples: 6, sequenceLength: 16, seed: 0 };
  const needsText = !['rtn', 'nf4', 'int8'].includes(method);
  const stage = { type: 'quantize', method, scheme: parseScheme(scheme), options, ...(needsText ? { calibration } : {}), ...more };
  return quantizeStageSchema.parse(stage);
}

function run(stage: QuantizeStage, outDir: string, more: Partial<QuantizeCheckpointOptions> = {}) {
  return quantizeCheckpoint({
    sourceDir: goldenModel('qwen3-tied').dir,
    outDir,
    stage,
    seed: 1,
    samples,
    modelHash: 'test',
    metadata,
    tokenizer: () => Promise.reject(new Error('not needed')),
    ...more,
  });
}

const cases: [string, QuantizeStage][] = [
  ['RTN', stageOf('rtn', 'W4A4KV4')],
  ['GPTQ', stageOf('gptq', 'W3G16')],
  ['GPTQ, not sequential', stageOf('gptq', 'W3G16', { trueSequential: false })],
  ['AWQ', stageOf('awq', 'W4G16')],
  ['NF4, doubly quantized', stageOf('nf4', 'NF4:double')],
  ['LLM.int8()', stageOf('int8', 'INT8')],
  ['QuaRot', stageOf('quarot', 'W4A4KV4')],
  ['FlatQuant', stageOf('flatquant', 'W4A4KV4', { epochs: 1, batchSize: 3 })],
  ['mixed precision', stageOf('gptq', 'W4G16', {}, { overrides: [{ pattern: '*.down_proj', scheme: null }] })],
];

describe('quantizeCheckpoint', () => {
  it.each(cases)('%s: writes, a layer at a time, what quantizing the whole model in memory gives', async (_, stage) => {
    const tensors = tf.memory().numTensors;
    const streamed = await run(stage, fresh());
    expect(tf.memory().numTensors).toBe(tensors);
    const { dir: sourceDir } = goldenModel('qwen3-tied');
    const model = await loadModel(sourceDir);
    const {
      packed: quantized,
      parameters,
      activations,
      untied,
      trained,
      layers,
      notes,
      ...rest
    } = await quantizeModel(model, stage, { samples });
    const saved = await saveQuantizedCheckpoint(fresh(), { sourceDir, quantized, parameters, activations, untied, trained, metadata });
    model.dispose();
    expect(streamed.saved.files).toEqual(saved.files);
    expect(streamed.layers).toEqual(layers);
    expect(streamed.notes).toEqual(notes);
    expect(streamed.quantizedBytes).toBe(rest.quantizedBytes);
    expect(streamed.bitsPerWeight).toBe(rest.bitsPerWeight);
    expect(readdirSync(folder).filter((name) => name.endsWith(workSuffix))).toEqual([]);
  });

  it.each(cases.filter(([name]) => ['GPTQ', 'AWQ', 'QuaRot', 'FlatQuant'].includes(name)))(
    '%s: goes on after the last finished layer and ends with the same bytes',
    async (_, stage) => {
      const undisturbed = await run(stage, fresh());
      const outDir = fresh();
      const controller = new AbortController();
      const stop = ({ done }: { done: number }) => done >= 9 && controller.abort();
      await expect(run(stage, outDir, { signal: controller.signal, onProgress: stop })).rejects.toMatchObject({ code: 'cancelled' });
      expect(readdirSync(`${outDir}${workSuffix}`)).toContain('layer-00000');
      const details: string[] = [];
      const resumed = await run(stage, outDir, { onProgress: ({ detail }) => details.push(detail) });
      expect(details[0]).toBe('layer 0 was finished before');
      expect(resumed.saved.sha256).toBe(undisturbed.saved.sha256);
      expect(resumed.layers).toEqual(undisturbed.layers);
      expect(resumed.notes).toEqual(undisturbed.notes);
    },
  );

  it.each(cases.filter(([name]) => ['GPTQ', 'AWQ', 'FlatQuant'].includes(name)))(
    '%s: gives the same with hidden states on disk',
    async (_, stage) => {
      const inMemory = await run(stage, fresh());
      const spilled = await run({ ...stage, spillActivations: true }, fresh());
      expect(spilled.saved.sha256).toBe(inMemory.saved.sha256);
    },
  );

  it('does not go on from layers of other settings', async () => {
    const outDir = fresh();
    const controller = new AbortController();
    const stop = ({ done }: { done: number }) => done >= 9 && controller.abort();
    const first = stageOf('gptq', 'W3G16');
    await expect(run(first, outDir, { signal: controller.signal, onProgress: stop })).rejects.toMatchObject({ code: 'cancelled' });
    const log: string[] = [];
    const other = stageOf('gptq', 'W2G16');
    const changed = await run(other, outDir, { onLog: (message) => log.push(message) });
    expect(log.join()).toContain('other settings');
    expect(changed.saved.sha256).toBe((await run(other, fresh())).saved.sha256);
  });

  it('keeps the weights before rounding when the stage asks for them', async () => {
    const { saved } = await run(stageOf('gptq', 'W3G16', { keepLatents: true }), fresh());
    expect(saved.files.map(({ name }) => name)).toContain('latents.safetensors');
    expect(saved.weightBytes).toBe(saved.files.find(({ name }) => name === 'model.safetensors')!.sizeBytes);
    expect(readFileSync(join(saved.dir, 'latents.safetensors')).length).toBeGreaterThan(1000);
  });

  it('refuses a target that is taken before anything is read', async () => {
    const stage = stageOf('rtn', 'W4');
    const { saved } = await run(stage, fresh());
    await expect(run(stage, saved.dir)).rejects.toMatchObject({ code: 'bad-input' });
  });

  it('writes shards with an index above a size, which load as one file does', async () => {
    const stage = stageOf('gptq', 'W3G16');
    const { saved: whole } = await run(stage, fresh());
    const { saved } = await run(stage, fresh(), { shardBytes: 12_000 });
    const shards = saved.files.filter(({ name }) => /^model-\d{5}-of-\d{5}\.safetensors$/.test(name));
    expect(shards.length).toBeGreaterThan(2);
    expect(saved.weightBytes).toBe(shards.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
    const index = JSON.parse(readFileSync(join(saved.dir, 'model.safetensors.index.json'), 'utf8'));
    const single = await openCheckpoint(whole.dir);
    const sharded = await openCheckpoint(saved.dir);
    expect(Object.keys(index.weight_map).toSorted()).toEqual([...single.tensors.keys()].toSorted());
    expect(index.metadata.total_size).toBe([...single.tensors.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
    for (const name of single.tensors.keys()) expect(await sharded.readBytes(name), name).toEqual(await single.readBytes(name));
    await single.close();
    await sharded.close();
    (await loadModel(saved.dir)).dispose();
  });

  it('only puts the checkpoint together when an earlier run had finished every layer', async () => {
    const stage = stageOf('gptq', 'W3G16');
    const undisturbed = await run(stage, fresh());
    const outDir = fresh();
    const controller = new AbortController();
    const stop = ({ done, total }: { done: number; total: number }) => done === total && controller.abort();
    await expect(run(stage, outDir, { signal: controller.signal, onProgress: stop })).rejects.toMatchObject({ code: 'cancelled' });
    const details: string[] = [];
    const resumed = await run(stage, outDir, { onProgress: ({ detail }) => details.push(detail) });
    expect(details).toEqual(['layer 0 was finished before', 'layer 1 was finished before']);
    expect(resumed.saved.sha256).toBe(undisturbed.saved.sha256);
  });

  it('refuses a model that is quantized already', async () => {
    const { saved } = await run(stageOf('rtn', 'W4'), fresh());
    await expect(run(stageOf('rtn', 'W4'), fresh(), { sourceDir: saved.dir })).rejects.toMatchObject({
      code: 'bad-input',
      message: expect.stringContaining('already quantized'),
    });
  });

  it('reports the peak of its own time, not of the process', async () => {
    const held = new Float64Array(2 ** 26).fill(1);
    const { peakMemoryBytes } = await run(stageOf('rtn', 'W4'), fresh());
    expect(peakMemoryBytes).toBeGreaterThan(held.byteLength);
    expect(peakMemoryBytes).toBeLessThanOrEqual(1024 * process.resourceUsage().maxRSS + 2 ** 20);
  });
});
