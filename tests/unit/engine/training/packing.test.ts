/** Sequences packed into one row: what each learns and says is what it would in a row of its own. */
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { createRandomModel } from '../../../../src-main/engine/model/init.ts';
import { causalAttention } from '../../../../src-main/engine/ops/index.ts';
import { packRow } from '../../../../src-main/engine/training/examples.ts';
import { BatchOrder, lossAndGradients, packBatch, type TrainingTask, WeightsTrainee } from '../../../../src-main/engine/training/index.ts';
import { KdTask } from '../../../../src-main/engine/training/tasks/kd.ts';
import { SftTask } from '../../../../src-main/engine/training/tasks/sft.ts';
import { kdSchema } from '../../../../src-preload/contract/training.ts';
import { testBackend, valuesOf } from '../../../support/test-backend.ts';
import { checkOp, testBackends } from '../ops/op-check.ts';
import { countingData, tinyConfig } from './tiny.ts';

const lengths = [3, 1, 4];
const total = 8;
const [heads, kvHeads, headDim] = [2, 1, 4];

/** Attention of every sequence to itself, written out. */
function exactAttention(q: Float64Array, k: Float64Array, v: Float64Array): Float64Array {
  const out = new Float64Array(total * heads * headDim);
  let first = 0;
  for (const length of lengths) {
    for (let t = first; t < first + length; t++) {
      for (let h = 0; h < heads; h++) {
        const at = (t * heads + h) * headDim;
        const weights = Array.from({ length: t - first + 1 }, (_, s) => {
          let score = 0;
          for (let j = 0; j < headDim; j++) score += q[at + j]! * k[(first + s) * headDim + j]!;
          return Math.exp(score / Math.sqrt(headDim));
        });
        const sum = weights.reduce((all, weight) => all + weight, 0);
        for (const [s, weight] of weights.entries())
          for (let j = 0; j < headDim; j++) out[at + j]! += (weight / sum) * v[(first + s) * headDim + j]!;
      }
    }
    first += length;
  }
  return out;
}

describe.each(testBackends)('packed sequences on %s', (backend) => {
  it('attend to themselves alone, forward and back', async () => {
    await checkOp(backend, {
      shapes: [
        [1, total, heads, headDim],
        [1, total, kvHeads, headDim],
        [1, total, kvHeads, headDim],
      ],
      exact: exactAttention,
      forms: {
        causalAttention: (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) =>
          causalAttention(q as tf.Tensor4D, k as tf.Tensor4D, v as tf.Tensor4D, { lengths }),
      },
    });
  });
});

describe('packing', () => {
  const examples = [0, 1, 2, 3].map((index) => countingData(4).example(index));

  it('gives every sequence the hidden states it has in a row of its own', async () => {
    await selectBackend(testBackend);
    const model = createRandomModel(tinyConfig, 2, { deviation: 0.3 });
    const row = packRow([...examples, { ids: [5], lossStart: 1 }]);
    expect(row.lengths).toEqual(examples.map(({ ids }) => ids.length - 1));
    const packed = model.forward(row.inputs, { lengths: row.lengths });
    for (const [index, { ids }] of examples.entries()) {
      const alone = model.forward(tf.tensor2d([Array.from(ids).slice(0, -1)], undefined, 'int32'));
      const own = tf.slice(packed, [0, row.starts[index]!, 0], alone.shape);
      const distance = (await tf.max(tf.abs(tf.sub(own, alone))).data())[0]!;
      expect(distance).toBeLessThan(1e-6);
    }
    model.dispose();
  });

  it('learns what padded batches learn, by SFT and by KD, with and without recomputed layers, without a token of padding', async () => {
    await selectBackend(testBackend);
    const data = { count: 4, example: (index: number) => examples[index]! };
    const order = () => new BatchOrder(data, { seed: 3, batchSize: 2, batchesPerWindow: 1 });
    const common = { accumulation: 2, padTokenId: 0 };
    const makers: ((packs: boolean) => TrainingTask)[] = [
      (packs) => new SftTask({ ...common, order: order(), packs }),
      ...[null, 4].map((topK) => (packs: boolean) => {
        const objective = kdSchema.parse({ kind: 'kd', topK, temperature: 1.5 });
        const teacher = createRandomModel({ ...tinyConfig, hiddenSize: 20 }, 7, { deviation: 0.3 });
        return new KdTask({ ...common, order: order(), packs, objective, teacher, cache: null });
      }),
    ];
    for (const make of makers) {
      const [padded, packed, recomputed] = [await learn(make(false), false), await learn(make(true), false), await learn(make(true), true)];
      expect(packed.rows).toEqual([1, 1]);
      expect(packed.tokens).toBe(padded.tokens);
      expect(packed.columns).toBe(packed.tokens);
      for (const other of [packed, recomputed]) {
        expect(Math.abs(other.loss - padded.loss)).toBeLessThan(1e-6);
        for (const [index, gradient] of other.gradients.entries())
          for (const [place, slope] of gradient.entries()) expect(Math.abs(slope - padded.gradients[index]![place]!)).toBeLessThan(2e-6);
      }
    }
  });

  it('is refused where sequences do not fill the row', async () => {
    await selectBackend(testBackend);
    const { inputs, ...rest } = packBatch(examples, 0);
    expect(rest.lengths).toBeUndefined();
    const model = createRandomModel(tinyConfig, 2);
    expect(() => model.forward(inputs, { lengths: [3, 2] })).toThrow('do not f');
    model.dispose();
  });
});

async function learn(task: TrainingTask, activationCheckpointing: boolean) {
  const trainee = new WeightsTrainee(createRandomModel(tinyConfig, 2, { deviation: 0.3 }), { ownsModel: true, activationCheckpointing });
  const total = { loss: 0, tokens: 0, columns: 0, rows: [] as number[], gradients: [] as Float32Array[] };
  for (const micro of await task.microBatches(0, trainee)) {
    const { loss, gradients } = lossAndGradients(trainee, micro, null);
    total.loss += (await loss.data())[0]!;
    total.tokens += micro.tokens;
    total.columns += micro.inputs.shape[1];
    total.rows.push(micro.inputs.shape[0]);
    const slopes = await Promise.all(gradients.map(valuesOf));
    total.gradients = slopes.map((values, index) => values.map((slope, place) => slope + (total.gradients[index]?.[place] ?? 0)));
    micro.dispose();
  }
  await task.dispose();
  trainee.dispose();
  return total;
}
