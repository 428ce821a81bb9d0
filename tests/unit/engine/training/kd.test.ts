import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { createRandomModel } from '../../../../src-main/engine/model/init.ts';
import type { LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import { BatchOrder, lossAndGradients, type TrainingExample, WeightsTrainee } from '../../../../src-main/engine/training/index.ts';
import { KdTask, type KdTaskOptions } from '../../../../src-main/engine/training/tasks/kd.ts';
import { hashExamples, TeacherCache } from '../../../../src-main/engine/training/tasks/teacher-cache.ts';
import { type KdObjective, kdSchema } from '../../../../src-preload/contract/training.ts';
import { testBackend } from '../../../support/test-backend.ts';
import { testBackends } from '../ops/op-check.ts';
import { countingData, tinyConfig } from './tiny.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'roundoff-kd-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const examples: TrainingExample[] = Array.from({ length: 8 }, (_, index) => countingData(8).example(index));
const data = { count: examples.length, example: (index: number) => examples[index]! };
const teacherConfig = { ...tinyConfig, hiddenSize: 20, tiedEmbeddings: false };
const student = () => new WeightsTrainee(createRandomModel(tinyConfig, 2, { deviation: 0.3 }), { ownsModel: true });

function createTask(teacher: LanguageModel, objective: Partial<KdObjective> = {}, cache: KdTaskOptions['cache'] = null): KdTask {
  const order = new BatchOrder(data, { seed: 3, batchSize: 4, batchesPerWindow: 2 });
  return new KdTask({ order, accumulation: 2, padTokenId: 0, objective: kdSchema.parse({ kind: 'kd', ...objective }), teacher, cache });
}

async function learn(task: KdTask, trainee: WeightsTrainee, step = 0) {
  let loss = 0;
  let largest = 0;
  for (const micro of await task.microBatches(step, trainee)) {
    const part = lossAndGradients(trainee, micro, null);
    loss += (await part.loss.data())[0]!;
    for (const gradient of part.gradients) for (const slope of await gradient.data()) largest = Math.max(largest, Math.abs(slope));
    tf.dispose([part.loss, ...part.gradients]);
    micro.dispose();
  }
  return { loss, largest };
}

/** To the last bit on wasm; the other backends add up in an order of their own each time. */
function expectSame(actual: { loss: number; largest: number }, expected: { loss: number; largest: number }): void {
  if (testBackend === 'wasm') expect(actual).toEqual(expected);
  expect(Math.abs(actual.loss / expected.loss - 1)).toBeLessThan(1e-6);
  expect(Math.abs(actual.largest / expected.largest - 1)).toBeLessThan(1e-6);
}

/** Mean divergence over the response tokens of all examples, from both models' logits in double precision. */
async function expectedLoss(
  trainee: WeightsTrainee,
  teacher: LanguageModel,
  temperature: number,
  k = tinyConfig.vocabSize,
): Promise<number> {
  let sum = 0;
  let count = 0;
  const softmax = (logits: number[]) => {
    const weights = logits.map((logit) => Math.exp(logit / temperature));
    const total = weights.reduce((all, weight) => all + weight, 0);
    return weights.map((weight) => weight / total);
  };
  for (const { ids, lossStart } of examples) {
    const inputs = tf.tensor2d(Array.from(ids).slice(0, -1), [1, ids.length - 1], 'int32');
    const hidden = trainee.forward(inputs, { dropoutSeed: null });
    const own = tf.matMul(tf.reshape(hidden, [-1, tinyConfig.hiddenSize]), trainee.headWeight(), false, true);
    const said = (await own.array()) as number[][];
    const taught = (await tf.reshape(teacher.logits(teacher.forward(inputs)), [-1, tinyConfig.vocabSize]).array()) as number[][];
    for (let position = lossStart - 1; position < ids.length - 1; position++) {
      const kept = [...taught[position]!.keys()].sort((a, b) => taught[position]![b]! - taught[position]![a]!).slice(0, k);
      const p = softmax(kept.map((token) => taught[position]![token]!));
      const q = softmax(said[position]!);
      sum += kept.reduce((total, token, place) => total + p[place]! * Math.log(p[place]! / q[token]!), 0);
      count++;
    }
  }
  return sum / count;
}

describe.each(testBackends)('KdTask on %s', (backend) => {
  it('has divergence 0 and no gradient where the student equals the teacher, and leaves no tensor behind', async () => {
    await selectBackend(backend);
    const trainee = student();
    const task = createTask(createRandomModel(tinyConfig, 2, { deviation: 0.3 }));
    const first = await learn(task, trainee);
    const before = tf.memory().numTensors;
    const { loss, largest } = await learn(task, trainee, 1);
    expect(tf.memory().numTensors).toBe(before);
    for (const value of [loss, first.loss]) expect(Math.abs(value)).toBeLessThan(1e-8);
    expect(Math.max(largest, first.largest)).toBeLessThan(1e-6);
    task.dispose();
    trainee.dispose();
  });
});

describe('KdTask', () => {
  it('is the mean divergence over response tokens, for a teacher of another size', async () => {
    await selectBackend(testBackend);
    for (const temperature of [1, 2]) {
      const trainee = student();
      const teacher = createRandomModel(teacherConfig, 5, { deviation: 0.3 });
      const expected = await expectedLoss(trainee, teacher, temperature);
      const task = createTask(teacher, { temperature });
      const { loss } = await learn(task, trainee);
      expect(Math.abs(loss - expected)).toBeLessThan(1e-5);
      expect(loss).toBeGreaterThan(0.01);
      task.dispose();
      trainee.dispose();
    }
  });

  it('takes the teacher’s top k tokens, renormalised', async () => {
    await selectBackend(testBackend);
    const trainee = student();
    for (const k of [3, tinyConfig.vocabSize]) {
      const teacher = createRandomModel(teacherConfig, 5, { deviation: 0.3 });
      const expected = await expectedLoss(trainee, teacher, 1.5, k);
      const task = createTask(teacher, { temperature: 1.5, topK: k });
      const { loss } = await learn(task, trainee);
      expect(Math.abs(loss - expected)).toBeLessThan(1e-5);
      task.dispose();
    }
    trainee.dispose();
  });

  it('asks the teacher once per example when its logits are kept, also after a restart, with the same outcome', async () => {
    await selectBackend(testBackend);
    const trainee = student();
    const key = { teacher: 'a', data: hashExamples(data), k: 3 };
    const indexOf = new Map(examples.map((example, index) => [example, index]));
    const folder = join(dir, 'kept');
    const plain = createTask(createRandomModel(teacherConfig, 5, { deviation: 0.3 }), { topK: 3 });
    const expected = [await learn(plain, trainee, 0), await learn(plain, trainee, 1), await learn(plain, trainee, 2)];
    plain.dispose();
    let asked = 0;
    const open = async () => {
      const teacher = createRandomModel(teacherConfig, 5, { deviation: 0.3 });
      const forward = teacher.forward.bind(teacher);
      teacher.forward = (...inputs) => {
        asked++;
        return forward(...inputs);
      };
      return createTask(teacher, { topK: 3, cacheTeacher: true }, { store: await TeacherCache.open(folder, key), indexOf });
    };
    const first = await open();
    expectSame(await learn(first, trainee, 0), expected[0]!);
    expect(asked).toBe(2);
    expectSame(await learn(first, trainee, 1), expected[1]!);
    expect(asked).toBe(2);
    first.dispose();
    const second = await open();
    expectSame(await learn(second, trainee, 2), expected[2]!);
    expect(asked).toBe(2);
    second.dispose();
    trainee.dispose();
    expect((await readdir(folder)).filter((name) => name.endsWith('.bin'))).toHaveLength(1);
  });

  it('refuses logits of another teacher, of other data or of another k, and files that are cut', async () => {
    const key = { teacher: 'a', data: hashExamples(data), k: 2 };
    const folder = join(dir, 'other');
    const store = await TeacherCache.open(folder, key);
    await store.add([{ index: 4, indices: Int32Array.of(3, 1), logits: Float32Array.of(0.5, 0.25) }]);
    expect(await (await TeacherCache.open(folder, key)).read(4)).toEqual({
      indices: Int32Array.of(3, 1),
      logits: Float32Array.of(0.5, 0.25),
    });
    await expect(TeacherCache.open(folder, { ...key, teacher: 'b' })).rejects.toThrow('of another teacher');
    await expect(TeacherCache.open(folder, { ...key, data: 'x', k: 3 })).rejects.toThrow(
      'of other data and of the top 2 tokens instead of 3',
    );
    await writeFile(join(folder, '000000009.bin'), Uint8Array.of(200, 0, 0, 0, 1));
    await expect(TeacherCache.open(folder, key)).rejects.toThrow('shorter than it says');
  });
});
