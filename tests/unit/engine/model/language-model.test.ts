import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { decoderLinears, type LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import { FakeQuantizedLinear, PackedLinearOp } from '../../../../src-main/engine/model/linear-op.ts';
import { loadModel } from '../../../../src-main/engine/model/load.ts';
import { fakeQuantize } from '../../../../src-main/engine/ops/index.ts';
import { goldenModel } from '../../../golden/fixtures.ts';
import { roundLinear } from '../model-folder.ts';

let model: LanguageModel;
let ids: tf.Tensor2D;
beforeAll(async () => {
  await selectBackend('wasm');
  model = await loadModel(goldenModel('qwen3-tied').dir);
  model.rotary.upTo(8);
  ids = tf.tensor2d(
    [
      [3, 14, 15],
      [92, 6, 5],
    ],
    undefined,
    'int32',
  );
});
afterAll(() => {
  ids.dispose();
  model.dispose();
});

const module = 'model.layers.1.mlp.down_proj';

describe('LanguageModel', () => {
  it('reports the input of every linear in execution order', () => {
    const seen = new Map<string, number[]>();
    const tensors = tf.memory().numTensors;
    model.forward(ids, { onLinearInput: (name, input) => seen.set(name, input.shape) }).dispose();
    expect([...seen.keys()]).toEqual(decoderLinears(model.config));
    expect(seen.get('model.layers.0.self_attn.q_proj')).toEqual([6, 32]);
    expect(seen.get('model.layers.0.self_attn.o_proj')).toEqual([6, 64]);
    expect(seen.get(module)).toEqual([6, 48]);
    expect(tf.memory().numTensors).toBe(tensors);
  });

  it('computes each sequence of a batch as if it were alone', async () => {
    const together = tf.tidy(() => model.logits(model.forward(ids)));
    for (const row of [0, 1]) {
      const alone = tf.tidy(() => model.logits(model.forward(tf.slice(ids, [row, 0], [1, 3]))));
      const expected = await alone.data();
      const actual = (await together.data()).slice(row * expected.length, (row + 1) * expected.length);
      expect(Math.max(...expected.map((value, index) => Math.abs(value - actual[index]!)))).toBeLessThan(1e-4);
      alone.dispose();
    }
    together.dispose();
  });

  it('runs layer by layer to the same result', async () => {
    const whole = model.forward(ids);
    const stepwise = tf.tidy(() => model.finalNorm(model.layer(1, model.layer(0, model.embed(ids)))));
    expect(await stepwise.data()).toEqual(await whole.data());
    tf.dispose([whole, stepwise]);
  });

  it('has gradients through the whole decoder that agree with differences', async () => {
    const weight = model.parameter('model.layers.0.self_attn.v_proj.weight') as tf.Tensor2D;
    const loss = (value: tf.Tensor) => {
      model.parameters.set('model.layers.0.self_attn.v_proj.weight', value);
      return tf.mean(tf.square(model.forward(ids))) as tf.Scalar;
    };
    const gradient = tf.grad(loss)(weight);
    const direction = tf.randomNormal(weight.shape, 0, 1, 'float32', 7);
    const slope = tf.tidy(() => tf.sum(tf.mul(gradient, direction))).dataSync()[0]!;
    const step = 1e-2;
    const at = (sign: number) => tf.tidy(() => loss(tf.add(weight, tf.mul(direction, sign * step)))).dataSync()[0]!;
    const difference = (at(1) - at(-1)) / (2 * step);
    model.parameters.set('model.layers.0.self_attn.v_proj.weight', weight);
    tf.dispose([gradient, direction]);
    expect(Math.abs(slope)).toBeGreaterThan(1e-3);
    expect(Math.abs(slope - difference)).toBeLessThan(0.02 * Math.abs(slope));
  });
});

describe('linear ops', () => {
  it('fake-quantized weights act as the rounded weights and can be taken back', async () => {
    const before = model.forward(ids);
    const dense = model.linear(module);
    const grid = { bits: 3, form: 'asymmetric', groupSize: 16 } as const;
    model.setLinear(module, new FakeQuantizedLinear(model.parameters, module, (weight) => fakeQuantize(weight, grid)));
    const quantized = model.forward(ids);
    const rounded = model.linear(module).weight();
    expect(new Set(await tf.slice(rounded, [0, 0], [1, 16]).data()).size).toBeLessThanOrEqual(8);
    expect(await quantized.data()).not.toEqual(await before.data());
    model.setLinear(module, dense);
    const after = model.forward(ids);
    expect(await after.data()).toEqual(await before.data());
    tf.dispose([before, quantized, rounded, after]);
  });

  it('a packed linear frees the dense weight and leaves no tensor behind', async () => {
    const tensors = tf.memory().numTensors;
    const own = await loadModel(goldenModel('qwen3-tied').dir);
    const loaded = tf.memory().numTensors;
    const packed = await roundLinear(own, module, 4, 16);
    own.setLinear(module, new PackedLinearOp(own.parameters, module, packed));
    expect(own.parameters.has(`${module}.weight`)).toBe(false);
    expect((await own.storedLinears()).get(module)).toEqual(packed);
    // Codes, scales and zero points in place of one weight.
    expect(tf.memory().numTensors).toBe(loaded + 2);
    own.dispose();
    expect(tf.memory().numTensors).toBe(tensors);
  });
});
