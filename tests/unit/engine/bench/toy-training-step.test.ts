import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { startWasm } from '../../../../src-main/engine/backends/wasm/backend.ts';
import { engineLoss, engineStep } from '../../../../src-main/engine/bench/toy-engine-step.ts';
import { createToyModel, plainLoss, toyTokens } from '../../../../src-main/engine/bench/toy-model.ts';
import { timeEngineStep, timeStockStep } from '../../../../src-main/engine/bench/toy-training-step.ts';

beforeAll(async () => {
  await startWasm();
});

describe('the toy model', () => {
  it('has the same loss and gradients in the engine’s ops as in plain tensor ops', async () => {
    const model = createToyModel();
    const engine = tf.variableGrads(() => engineLoss(model), model.variables);
    const plain = tf.variableGrads(() => plainLoss(model), model.variables);
    expect((await engine.value.data())[0]).toBeCloseTo((await plain.value.data())[0]!, 4);
    for (const { name } of model.variables) {
      const difference = await tf.max(tf.abs(tf.sub(engine.grads[name]!, plain.grads[name]!))).data();
      const scale = await tf.max(tf.abs(plain.grads[name]!)).data();
      expect(difference[0]! / scale[0]!).toBeLessThan(1e-4);
    }
    tf.dispose([engine, plain] as unknown as tf.TensorContainer);
  });

  it('learns, gives the same losses every time, and leaves no tensors behind', async () => {
    const losses = async () => {
      const step = engineStep(createToyModel());
      step().dispose();
      const tensors = tf.memory().numTensors;
      const values: number[] = [];
      for (let i = 0; i < 4; i++) {
        const loss = step();
        values.push((await loss.data())[0]!);
        loss.dispose();
      }
      expect(tf.memory().numTensors).toBe(tensors);
      return values;
    };
    const first = await losses();
    expect(first[3]!).toBeLessThan(first[0]!);
    expect(await losses()).toEqual(first);
  });
});

describe('the timing of the toy step', () => {
  it('reports steps that really ran, here and on the stock backend', async () => {
    const tensors = tf.memory().numTensors;
    const engine = await timeEngineStep({ steps: 2, warmUp: 0 });
    expect(tf.memory().numTensors).toBe(tensors);
    const stock = await timeStockStep({ steps: 2, warmUp: 0 });
    for (const timing of [engine, stock]) {
      expect(timing).toMatchObject({ parameters: 861184, steps: 2 });
      expect(timing.lastLoss).toBeLessThan(timing.firstLoss);
      expect(timing.tokensPerSecond).toBeCloseTo((toyTokens / timing.millisecondsPerStep) * 1000, 6);
    }
    expect(engine.firstLoss).toBeCloseTo(stock.firstLoss, 4);
  });
});
