import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../src-main/engine/backends/select.ts';
import { loadModel } from '../../src-main/engine/model/load.ts';
import { casesFor, testBackends } from '../unit/engine/ops/op-check.ts';
import { goldenModel, goldenNames } from './fixtures.ts';

describe.each(testBackends)('against transformers in float32, on %s,', (backend) => {
  it.each(casesFor(backend, goldenNames))('%s computes the same logits at every position', async (name) => {
    await selectBackend(backend);
    const golden = goldenModel(name);
    const tensors = tf.memory().numTensors;
    const model = await loadModel(golden.dir);
    const ids = tf.tensor2d([golden.prompts[0]!], undefined, 'int32');
    const hidden = model.forward(ids);
    const logits = model.logits(hidden);
    const expected = golden.logits.flat();
    const actual = await logits.data();
    expect(logits.shape).toEqual([1, golden.logits.length, golden.logits[0]!.length]);
    expect(Math.max(...expected.map((value, index) => Math.abs(value - actual[index]!)))).toBeLessThan(1e-4);
    tf.dispose([ids, hidden, logits]);
    model.dispose();
    expect(tf.memory().numTensors).toBe(tensors);
  });
});
