/** LoRA over packed and dense bases: starts, what is saved beside the base, and how such a folder is loaded, inspected and exported. */
import { createHash } from 'node:crypto';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import type { ExportFormat } from '#contract/recipe.ts';
import { selectBackend } from '../../../../../src-main/engine/backends/select.ts';
import { adapterConfigFile, adapterWeightsFile } from '../../../../../src-main/engine/formats/adapter.ts';
import { exportCheckpoint } from '../../../../../src-main/engine/formats/export.ts';
import { ProblemList } from '../../../../../src-main/engine/formats/problems.ts';
import { openFiles } from '../../../../../src-main/engine/formats/safetensors.ts';
import { inspectModel } from '../../../../../src-main/engine/model/inspect.ts';
import { loadModel } from '../../../../../src-main/engine/model/load.ts';
import { LoraLinear } from '../../../../../src-main/engine/model/lora-linear.ts';
import { quantizeCheckpoint } from '../../../../../src-main/engine/quantizers/streaming/quantize-checkpoint.ts';
import { createGenerator } from '../../../../../src-main/engine/rollouts/generator.ts';
import { goldenModel } from '../../../../golden/fixtures.ts';
import { testBackend, valuesOf } from '../../../../support/test-backend.ts';
import {
  expectSameBits,
  folderLogits,
  fresh,
  gradientsOf,
  largestDifference,
  quantizedFolder,
  traineeLogits,
  traineeOf,
  trainSteps,
} from './support.ts';

beforeAll(async () => {
  await selectBackend(testBackend);
});

const lora = (more: object = {}) => ({ trains: { kind: 'lora', rank: 4, alpha: 8, dropout: 0.1, ...more } });
const saving = { metadata: { objective: 'SFT' }, replace: false };
const dense = goldenModel('qwen3-tied').dir;

/** An NF4 base with a trained adapter, and what the trainee computed at last. */
async function adapted(base = () => quantizedFolder('nf4', 'NF4:double')) {
  const source = await base();
  const trainee = await traineeOf(source, lora());
  await trainSteps(trainee, 6, 0.02);
  const logits = await traineeLogits(trainee);
  const dir = fresh('adapted');
  const saved = await trainee.save(dir, saving);
  trainee.dispose();
  return { source, dir, logits, saved };
}

async function hashOf(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

describe('training', () => {
  it.each([
    ['NF4', () => quantizedFolder('nf4', 'NF4:double')],
    ['INT8', () => quantizedFolder('int8', 'INT8')],
    ['GPTQ', () => quantizedFolder('gptq', 'W3G16', { actOrder: true })],
    ['QuaRot', () => quantizedFolder('quarot', 'W4A4KV4')],
    ['a float model', async () => dense],
  ] as const)('over %s begins with the base’s logits, bit for bit, and learns without touching the base', async (name, folder) => {
    const source = await folder();
    const expected = await folderLogits(source);
    const before = tf.memory().numTensors;
    const trainee = await traineeOf(source, lora());
    expectSameBits(await traineeLogits(trainee), expected, 'step 0');
    expect(trainee.notes.join()).toContain(name === 'a float model' ? 'plain LoRA' : '');
    const losses = await trainSteps(trainee, 10, 0.02);
    expect(losses.at(-1)!).toBeLessThan(losses[0]! - 0.1);
    const { model } = await trainee.generationModel();
    const base = await loadModel(source);
    for (const module of ['model.layers.0.self_attn.q_proj', 'model.layers.1.mlp.down_proj']) {
      const op = model.linear(module);
      expect(op).toBeInstanceOf(LoraLinear);
      const [now, then] = [(op as LoraLinear).base.weight(), base.linear(module).weight()];
      expectSameBits(await valuesOf(now), await valuesOf(then), module);
      tf.dispose([now, then]);
    }
    base.dispose();
    trainee.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('drops out by the seed of the pass, each module its own elements, and not at all without one', async () => {
    const trainee = await traineeOf(dense, lora({ dropout: 0.5 }));
    await trainSteps(trainee, 3, 0.02);
    const [one, again, other, none] = [
      await traineeLogits(trainee, 1),
      await traineeLogits(trainee, 1),
      await traineeLogits(trainee, 2),
      await traineeLogits(trainee),
    ];
    expectSameBits(one, again, 'same seed');
    expect(largestDifference(one, other)).toBeGreaterThan(1e-4);
    expect(largestDifference(one, none)).toBeGreaterThan(1e-4);
    trainee.dispose();
  });

  it('recomputes layers, dropout included, without changing a gradient', async () => {
    const source = await quantizedFolder('nf4', 'NF4');
    const trainees = [await traineeOf(source, lora()), await traineeOf(source, { ...lora(), activationCheckpointing: true })];
    for (const trainee of trainees) await trainSteps(trainee, 2, 0.02);
    const [expected, actual] = [await gradientsOf(trainees[0]!, 5), await gradientsOf(trainees[1]!, 5)];
    for (const [name, values] of expected) expectSameBits(actual.get(name)!, values, name);
    for (const trainee of trainees) trainee.dispose();
  });

  it('forms no gradient of the output layer', async () => {
    const trainee = await traineeOf(dense, lora());
    const kernels = vi.spyOn(tf.engine(), 'runKernel');
    await gradientsOf(trainee, 5);
    // What is saved for the backward pass is the layer itself, again.
    const made = kernels.mock.results
      .filter((_, index) => kernels.mock.calls[index]![0] !== tf.Identity)
      .flatMap(({ value }) => value as tf.Tensor | tf.Tensor[]);
    kernels.mockRestore();
    expect(made.length).toBeGreaterThan(0);
    expect(made.map(({ shape }) => shape.join())).not.toContain(trainee.headWeight().shape.join());
    trainee.dispose();
  });

  it('trains the chosen linears only', async () => {
    const trainee = await traineeOf(dense, lora({ modules: ['q_proj', 'v_proj'] }));
    expect(trainee.parameters).toHaveLength(2 * 2 * trainee.config.layers);
    trainee.dispose();
  });
});

describe('a saved model', () => {
  it('is the base, byte for byte, with the adapter as PEFT lays it out', async () => {
    const { source, dir, logits, saved } = await adapted();
    expect(await hashOf(join(dir, 'model.safetensors'))).toBe(await hashOf(join(source, 'model.safetensors')));
    expect(await hashOf(join(dir, 'config.json'))).toBe(await hashOf(join(source, 'config.json')));
    const config = JSON.parse(await readFile(join(dir, adapterConfigFile), 'utf8'));
    expect(config).toMatchObject({
      ...{ peft_type: 'LORA', task_type: 'CAUSAL_LM', r: 4, lora_alpha: 8, lora_dropout: 0.1, bias: 'none', fan_in_fan_out: false },
      ...{ inference_mode: true, base_model_name_or_path: basename(source) },
      target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
    });
    const problems = new ProblemList();
    const weights = await openFiles(dir, [adapterWeightsFile], problems);
    expect(problems.hasErrors).toBe(false);
    expect(weights.tensors.size).toBe(2 * 14);
    expect(weights.entry('base_model.model.model.layers.1.mlp.down_proj.lora_A.weight').shape).toEqual([4, 48]);
    expect(weights.entry('base_model.model.model.layers.0.self_attn.k_proj.lora_B.weight').shape).toEqual([32, 4]);
    await weights.close();
    expectSameBits(await folderLogits(dir), logits, 'loaded');
    const { quantizedBytes, bitsPerWeight, checkpoint } = saved;
    // 14 linears with 4 · (in + out) adapter values of 4 bytes each, over bases of 4 bits and a little.
    const adapterSize = 16 * 2 * (96 + 64 + 64 + 96 + 80 + 80 + 80);
    const weightCount = 2 * (64 * 32 + 2 * 32 * 32 + 32 * 64 + 3 * 32 * 48);
    expect(bitsPerWeight! - 4.2).toBeCloseTo((8 * adapterSize) / weightCount, 0);
    expect(quantizedBytes!).toBeGreaterThan(adapterSize);
    expect(checkpoint.weightBytes).toBe(
      (await readFile(join(dir, 'model.safetensors'))).length + (await readFile(join(dir, adapterWeightsFile))).length,
    );
  });

  it('is trained further from its adapter, as the same adapter only', async () => {
    const { dir, logits } = await adapted();
    const trainee = await traineeOf(dir, lora());
    expectSameBits(await traineeLogits(trainee), logits, 'step 0');
    const again = fresh();
    await trainee.save(again, saving);
    expect(await hashOf(join(again, adapterWeightsFile))).toBe(await hashOf(join(dir, adapterWeightsFile)));
    trainee.dispose();
    await expect(traineeOf(dir, lora({ rank: 8 }))).rejects.toThrow(/already has an adapter of rank 4/);
    await expect(traineeOf(dir, { trains: { kind: 'quantized' } })).rejects.toThrow(/LoRA adapter/);
    await expect(traineeOf(dir, { trains: { kind: 'weights' } })).rejects.toThrow(/is quantized/);
  });

  it('merges into its dequantized weights with the same logits', async () => {
    const { dir, logits } = await adapted();
    const model = await loadModel(dir);
    const merged = new Map<string, Float32Array>();
    for (let layer = 0; layer < model.config.layers; layer++) {
      const weight = model.linear(`model.layers.${layer}.mlp.up_proj`).weight();
      merged.set(`model.layers.${layer}.mlp.up_proj.weight`, await valuesOf(weight));
      weight.dispose();
    }
    model.dispose();
    const out = fresh('merged');
    await exportCheckpoint(out, { sourceDir: dir, format: 'dequantized' });
    expect(largestDifference(await folderLogits(out), logits)).toBeLessThan(1e-4);
    const exported = await loadModel(out);
    for (const [name, values] of merged) expect(largestDifference(await valuesOf(exported.parameter(name)), values)).toBeLessThan(1e-6);
    exported.dispose();
  });

  it('exports as roundoff with its adapter, and is refused by the formats of codes', async () => {
    const { dir, logits } = await adapted();
    const out = fresh('copy');
    await exportCheckpoint(out, { sourceDir: dir, format: 'roundoff' });
    expectSameBits(await folderLogits(out), logits, 'copy');
    for (const format of ['bitsandbytes', 'gptq', 'gptq-v2', 'awq', 'compressed-tensors'] satisfies ExportFormat[])
      await expect(exportCheckpoint(fresh(), { sourceDir: dir, format }), format).rejects.toThrow(/LoRA adapter lies beside the weights/);
  });

  it('generates what it computes', async () => {
    const { dir } = await adapted();
    const model = await loadModel(dir);
    const generator = createGenerator(model, { slots: 1, capacity: 32 });
    const prompt = [3, 9, 4, 17];
    const tokens: number[] = [];
    const greedy = { temperature: 0, topP: 1, topK: 0, maxNewTokens: 8, stopTokenIds: [], ignoreEndTokens: true };
    const request = { key: 'a', promptIds: prompt, seed: 0, stream: 'a' };
    await generator.run([request], greedy, { onResult: ({ tokenIds }) => tokens.push(...tokenIds) });
    await generator.dispose();
    const ids = [...prompt];
    for (let i = 0; i < 8; i++) {
      const next = await tf.tidy(() => tf.argMax(model.logits(model.forward(tf.tensor2d([ids], undefined, 'int32'))), -1)).data();
      ids.push(next.at(-1)!);
    }
    expect(tokens).toEqual(ids.slice(4));
    model.dispose();
  });

  it('counts in inspections, and cannot be quantized unmerged', async () => {
    const { source, dir } = await adapted();
    const [base, inspected] = [await inspectModel(source), await inspectModel(dir)];
    expect(inspected.problems.filter(({ severity }) => severity === 'error')).toEqual(
      base.problems.filter(({ severity }) => severity === 'error'),
    );
    expect(inspected.parameters - base.parameters).toBe(4 * 2 * (96 + 64 + 64 + 96 + 80 + 80 + 80));
    expect(inspected.sizeBytes).toBeGreaterThan(base.sizeBytes);
    expect(inspected.hash).not.toBe(base.hash);
    const plain = await adapted(async () => dense);
    const stage = { type: 'quantize', method: 'rtn', scheme: { bits: 4, symmetric: false, strategy: 'channel', groupSize: null } } as const;
    const quantizing = quantizeCheckpoint({
      ...{ sourceDir: plain.dir, outDir: fresh(), seed: 0, modelHash: '', tokenizer: () => Promise.reject(new Error('unused')) },
      stage: { ...stage, options: { mseSearch: false } },
    });
    await expect(quantizing).rejects.toThrow(/LoRA adapter beside its weights/);
    expect((await inspectModel(plain.dir)).schemeSizes.every(({ unsupported }) => unsupported?.includes('adapter'))).toBe(true);
  });
});

describe('damaged adapters are named', () => {
  const damaged = async (change: (dir: string) => Promise<void>) => {
    const { dir } = await adapted(async () => dense);
    const copy = fresh('damaged');
    await cp(dir, copy, { recursive: true });
    await change(copy);
    return copy;
  };
  const patch = (changes: object) => async (dir: string) => {
    const path = join(dir, adapterConfigFile);
    await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, 'utf8')), ...changes }));
  };

  it.each([
    ['missing weights', (dir: string) => rm(join(dir, adapterWeightsFile)), /adapter_model\.safetensors/],
    ['another rank', patch({ r: 5 }), /lora_A\.weight: its shape is \[4, 32\], not \[5, 32\]/],
    ['DoRA', patch({ use_dora: true }), /use_dora is true/],
    ['another kind of adapter', patch({ peft_type: 'IA3' }), /peft_type is "IA3"/],
    ['no targets', patch({ target_modules: ['qkv'] }), /name no decoder linear/],
  ] as const)('%s', async (_, change, message) => {
    const dir = await damaged(change);
    const before = tf.memory().numTensors;
    await expect(loadModel(dir)).rejects.toThrow(message);
    expect(tf.memory().numTensors).toBe(before);
    expect((await inspectModel(dir)).problems.some((problem) => message.test(`${problem.where}: ${problem.message}`))).toBe(true);
  });
});
