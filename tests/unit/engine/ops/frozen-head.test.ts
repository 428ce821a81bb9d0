/** Losses over an output layer that does not learn: value and gradient of the hidden states as ever, and nothing of the layer's gradient. */
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { linearCrossEntropy, linearKl, linearPolicy } from '../../../../src-main/engine/ops/index.ts';
import { normals, testBackends } from './op-check.ts';

const [rows, size, vocab, k] = [7, 6, 11, 3];
const settings = { temperature: 1.2, clipLow: 0.2, clipHigh: 0.2, beta: 0 };

interface Head {
  chunkRows: number;
  headGradient?: boolean;
}

function matrix(height: number, width: number, seed: number): tf.Tensor2D {
  return tf.tensor2d(Float32Array.from(normals(height * width, seed)), [height, width]);
}

const ids = () => tf.tensor1d([2, 0, 8, 4, 4, 1, 7], 'int32');
const shares = () => tf.tensor1d([0.2, 0.1, 0, 0.3, 0, 0.15, 0.25]);

const losses: Record<string, (hidden: tf.Tensor2D, head: tf.Tensor2D, options: Head) => tf.Scalar> = {
  linearCrossEntropy: (hidden, head, options) => linearCrossEntropy(hidden, head, ids(), options),
  'linearKl to all of a teacher': (hidden, head, options) =>
    linearKl(hidden, head, { hidden: matrix(rows, 5, 3), head: matrix(vocab, 5, 4) }, { shares: shares(), mix: 0.3, ...options }),
  'linearKl to the top of a teacher': (hidden, head, options) => {
    const indices = tf.tensor2d(
      Array.from({ length: rows * k }, (_, place) => (place * 5) % vocab),
      [rows, k],
      'int32',
    );
    return linearKl(hidden, head, { indices, logits: matrix(rows, k, 5) }, { shares: shares(), ...options });
  },
  linearPolicy: (hidden, head, options) => {
    const policy = { weights: shares(), advantages: tf.ones([rows]) as tf.Tensor1D, old: null, reference: null, importance: null };
    return linearPolicy(hidden, head, ids(), policy, settings, options);
  },
};

const kernelNames = ['LinearCrossEntropy', 'LinearKl', 'LinearPolicy'];
const places = [...testBackends.map((backend) => ({ backend, form: 'by kernels' })), { backend: 'wasm', form: 'composed' } as const];

describe.each(places)('with an output layer that does not learn, on $backend $form', ({ backend, form }) => {
  const withheld = kernelNames.map((name) => tf.getKernel(name, backend)).filter((kernel) => form === 'composed' && kernel !== undefined);
  beforeAll(() => {
    for (const { kernelName } of withheld) tf.unregisterKernel(kernelName, backend);
  });
  afterAll(() => {
    for (const kernel of withheld) tf.registerKernel(kernel);
  });

  it.each(Object.keys(losses))('%s forms the gradient of the hidden states alone', async (name) => {
    await selectBackend(backend);
    const [hidden, head] = [matrix(rows, size, 1), matrix(vocab, size, 2)];
    const before = tf.memory().numTensors;
    const measure = async (options: Head, learns: tf.Tensor[]) => {
      const kernels = vi.spyOn(tf.engine(), 'runKernel');
      const { value, grads } = tf.engine().gradients(() => tf.tidy(() => losses[name]!(hidden, head, options)), learns);
      const made = kernels.mock.results.flatMap(({ value }) => value as tf.Tensor | tf.Tensor[]).map(({ shape }) => shape.join());
      kernels.mockRestore();
      const values = [await value.data(), await grads[0]!.data()];
      tf.dispose([value, ...grads]);
      return { values, made };
    };
    for (const chunkRows of [3, 100]) {
      const learning = await measure({ chunkRows }, [hidden, head]);
      const frozen = await measure({ chunkRows, headGradient: false }, [hidden]);
      expect(frozen.values).toEqual(learning.values);
      expect(learning.made).toContain(`${vocab},${size}`);
      expect(frozen.made).not.toContain(`${vocab},${size}`);
    }
    tf.dispose([hidden, head]);
    expect(tf.memory().numTensors).toBe(before - 2);
  });
});
