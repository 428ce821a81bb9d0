/**
 * Objectives with every kind of trainee: the sampler is the policy that learns (fake-quantized alike, with its adapter or its transforms), the
 * reference is the policy at the start, and packed rows give what padded ones give.
 */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseScheme } from '#contract/scheme.ts';
import { rlSchema } from '#contract/training.ts';
import { selectBackend } from '../../../../../src-main/engine/backends/select.ts';
import { copyModel } from '../../../../../src-main/engine/model/copy-model.ts';
import type { ModelTokenizer } from '../../../../../src-main/engine/model/tokenizer.ts';
import { linearCrossEntropy } from '../../../../../src-main/engine/ops/index.ts';
import { packBatch, packRow } from '../../../../../src-main/engine/training/examples.ts';
import { lossAndGradients, type Trainee } from '../../../../../src-main/engine/training/index.ts';
import { RlTask } from '../../../../../src-main/engine/training/tasks/rl.ts';
import { goldenModel } from '../../../../golden/fixtures.ts';
import { testBackend, valuesOf } from '../../../../support/test-backend.ts';
import { modelLogits, quantizedFolder, rows, traineeOf, trainSteps } from './support.ts';

beforeAll(async () => {
  await selectBackend(testBackend);
});

const dense = goldenModel('qwen3-tied').dir;
const tokenizer = { decode: (ids: number[]) => `\\boxed{${(ids.at(-1) ?? 0) % 3}}` } as unknown as ModelTokenizer;
const problems = [0, 1].map((index) => ({ id: `p${index}`, gold: '1', promptIds: [7 + index, 12, 30] }));

const kinds: Record<string, () => Promise<Trainee>> = {
  weights: () => traineeOf(dense, { trains: { kind: 'weights' } }),
  'fake-quantized weights': () => traineeOf(dense, { trains: { kind: 'quantized', scheme: parseScheme('W3G16') } }),
  'LoRA on NF4': async () => traineeOf(await quantizedFolder('nf4', 'NF4'), { trains: { kind: 'lora', dropout: 0.3 } }),
  'FlatQuant’s transforms': async () =>
    traineeOf(await quantizedFolder('flatquant', 'W4A4KV4', { epochs: 1 }), { trains: { kind: 'flatquant' } }),
};

describe.each(Object.entries(kinds))('%s', (name, make) => {
  it('sample as they learn: importance weights of about 1, no divergence from the policy at the start', async () => {
    const trainee = await make();
    await trainSteps(trainee, 2);
    const { model, release } = await trainee.generationModel();
    const reference = await copyModel(model);
    const same = await modelLogits(reference);
    const own = await modelLogits(model);
    expect(Math.max(...same.map((value, index) => Math.abs(value - own[index]!)))).toBeLessThan(1e-4);
    release();
    const objective = rlSchema.parse({
      ...{ kind: 'rl', promptsPerStep: 2, groupSize: 4, maxNewTokens: 6, beta: 0.1 },
      importance: { kind: 'token-truncate', cap: 2 },
    });
    const task = new RlTask({ objective, problems, tokenizer, batchSize: 8, padTokenId: 0, seed: 3, reference });
    const [micro] = await task.microBatches(0, trainee);
    const { loss, gradients } = lossAndGradients(trainee, micro!, null);
    micro!.dispose();
    tf.dispose([loss, ...gradients]);
    const metrics = await task.metrics();
    // Activations that are quantized to 4 bits turn rounding noise into steps of the grid.
    const tolerance = name.startsWith('FlatQuant') ? 0.05 : 1e-4;
    expect(Math.abs(metrics['importance-mean']! - 1)).toBeLessThan(tolerance);
    expect(Math.abs(metrics['sampler-divergence']!)).toBeLessThan(tolerance);
    expect(metrics.kl).toBeLessThan(tolerance ** 2);
    await task.dispose();
    trainee.dispose();
  });

  it('learn the same from sequences packed into one row', async () => {
    const trainee = await make();
    await trainee.beginStep(0);
    const parts = [packBatch(rows, 0), packRow(rows)].map(async (batch) => {
      const loss = (hidden: tf.Tensor2D, head: tf.Tensor2D) => linearCrossEntropy(hidden, head, batch.targets, { mask: batch.mask });
      const part = lossAndGradients(trainee, { ...batch, loss, dispose: () => {} }, null);
      return { loss: (await part.loss.data())[0]!, gradients: await Promise.all(part.gradients.map(valuesOf)) };
    });
    const [padded, packed] = await Promise.all(parts);
    expect(Math.abs(packed!.loss - padded!.loss)).toBeLessThan(1e-5);
    for (const [index, gradient] of packed!.gradients.entries())
      for (const [place, slope] of gradient.entries()) expect(Math.abs(slope - padded!.gradients[index]![place]!)).toBeLessThan(1e-5);
    trainee.dispose();
  });
});
