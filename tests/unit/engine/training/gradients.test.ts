import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, test } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import { createRandomModel } from '../../../../src-main/engine/model/init.ts';
import type { LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import { linearCrossEntropy } from '../../../../src-main/engine/ops/index.ts';
import type { TrainingBatch } from '../../../../src-main/engine/training/examples.ts';
import { lossAndGradients, packBatch, WeightsTrainee } from '../../../../src-main/engine/training/index.ts';
import { testBackend } from '../../../support/test-backend.ts';
import { countingData, tinyConfig } from './tiny.ts';

function batchLoss(model: LanguageModel, { inputs, targets, mask }: TrainingBatch): tf.Scalar {
  const hidden = tf.reshape(model.forward(inputs), [-1, model.config.hiddenSize]) as tf.Tensor2D;
  return linearCrossEntropy(hidden, model.headWeight(), targets, { mask });
}

beforeAll(async () => {
  await selectBackend(testBackend);
});

/**
 * The derivative of the whole model's loss along a random direction of one parameter, once from the gradient and once from central
 * differences of the loss. Weights of deviation 0.3 keep every term of the derivative well above float32's rounding.
 */
test('the gradient of the whole model agrees with finite differences in every parameter', async () => {
  const model = createRandomModel(tinyConfig, 2, { deviation: 0.3 });
  const data = countingData(4);
  const batch = packBatch(
    [0, 1, 2, 3].map((index) => data.example(index)),
    0,
  );
  const trainee = new WeightsTrainee(model, { ownsModel: true });
  const names = trainee.parameters.map(({ name }) => name);
  const variables = trainee.parameters.map(({ variable }) => variable);
  const loss = (hidden: tf.Tensor2D, head: tf.Tensor2D) => linearCrossEntropy(hidden, head, batch.targets, { mask: batch.mask });
  const { gradients } = lossAndGradients(trainee, { ...batch, loss, dispose: () => {} }, null);

  for (const [index, variable] of variables.entries()) {
    const direction = tf.tensor(new RandomStream(7, names[index]!).normals(variable.size), variable.shape);
    const slope = (await tf.sum(tf.mul(gradients[index]!, direction)).data())[0]!;
    const lossAt = async (step: number) => {
      const original = tf.clone(variable);
      variable.assign(tf.add(original, tf.mul(direction, step)));
      const loss = (await batchLoss(model, batch).data())[0]!;
      variable.assign(original);
      return loss;
    };
    const step = 2e-3;
    const measured = ((await lossAt(step)) - (await lossAt(-step))) / (2 * step);
    expect(Math.abs(slope - measured), `${names[index]}: gradient ${slope}, difference ${measured}`).toBeLessThan(
      2e-3 + 0.02 * Math.abs(measured),
    );
    expect(Math.abs(slope), names[index]).toBeGreaterThan(1e-4);
  }
});

test('padding and prompt tokens do not reach the loss', async () => {
  const model = createRandomModel(tinyConfig, 2, { deviation: 0.3 });
  const short = { ids: [2, 3, 4, 5], lossStart: 2 };
  const long = { ids: [3, 4, 5, 6, 7, 8, 9], lossStart: 3 };
  const lossOf = async (examples: (typeof short)[]) => (await batchLoss(model, packBatch(examples, 0)).data())[0]!;
  expect(await lossOf([short])).toBeGreaterThan(1);
  // Two targets in the short sequence, four in the long one.
  expect(await lossOf([short, long])).toBeCloseTo((2 * (await lossOf([short])) + 4 * (await lossOf([long]))) / 6, 5);
});
