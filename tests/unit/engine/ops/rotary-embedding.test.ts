import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { rotaryEmbedding, rotaryTables } from '../../../../src-main/engine/ops/index.ts';
import { rotaryEmbeddingReference } from '../../../../src-main/engine/ops/rotary-embedding/reference.ts';
import { checkOp, expectClose, normals, testBackends } from './op-check.ts';

const frequencies = [1, 0.3, 0.1, 0.03, 0.01, 0.003];

function exactRotation([, seq, heads, headDim]: number[], offset: number) {
  const half = headDim! / 2;
  return (x: Float64Array) =>
    x.map((value, place) => {
      const component = place % headDim!;
      const position = (Math.floor(place / (headDim! * heads!)) % seq!) + offset;
      const angle = position * frequencies[component % half]!;
      const partner = component < half ? -x[place + half]! : x[place - half]!;
      return value * Math.cos(angle) + partner * Math.sin(angle);
    });
}

describe.each(testBackends)('rotaryEmbedding on %s', (backend) => {
  it.each([
    { shape: [2, 5, 3, 8], offset: 0 },
    { shape: [1, 4, 2, 12], offset: 7 },
    { shape: [3, 1, 1, 2], offset: 11 },
  ])('rotates $shape from position $offset', async ({ shape, offset }) => {
    await selectBackend(backend);
    const tables = rotaryTables(frequencies.slice(0, shape[3]! / 2), 12);
    await checkOp(backend, {
      shapes: [shape],
      exact: exactRotation(shape, offset),
      forms: {
        rotaryEmbedding: (x) => rotaryEmbedding(x, tables, { offset }),
        reference: (x) => rotaryEmbeddingReference(x, tables.cos, tables.sin, offset),
      },
    });
    tf.dispose([tables.cos, tables.sin]);
  });
});

describe.each(testBackends)('dot products after rotation on %s', (backend) => {
  it('depend on the difference of positions alone', async () => {
    await selectBackend(backend);
    const before = tf.memory().numTensors;
    const tables = rotaryTables(frequencies, 40);
    const [query, key] = [1, 2].map((seed) => tf.tensor4d(Float32Array.from(normals(12, seed)), [1, 1, 1, 12]));
    const dot = (at: number, from: number) =>
      tf.tidy(() => tf.sum(tf.mul(rotaryEmbedding(query!, tables, { offset: at }), rotaryEmbedding(key!, tables, { offset: from }))));
    for (const difference of [0, 3, 11]) {
      const first = dot(difference, 0);
      const [expected] = await first.data();
      for (const start of [1, 17, 28]) {
        const shifted = dot(start + difference, start);
        await expectClose(shifted, [expected!], 5e-6, `positions ${start + difference} and ${start}`);
        shifted.dispose();
      }
      first.dispose();
    }
    const [near, far] = [dot(3, 0), dot(11, 0)];
    expect(Math.abs((await near.data())[0]! - (await far.data())[0]!)).toBeGreaterThan(0.01);
    tf.dispose([query!, key!, near, far, tables.cos, tables.sin]);
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('rotaryEmbedding', () => {
  it('refuses positions the tables do not cover', async () => {
    await selectBackend('wasm');
    const tables = rotaryTables([1, 0.1], 4);
    expect(() => rotaryEmbedding(tf.zeros([1, 3, 1, 4]), tables, { offset: 2 })).toThrow('positions 2 to 4 of head size 4');
    expect(() => rotaryEmbedding(tf.zeros([1, 3, 1, 6]), tables)).toThrow('head size 6');
  });
});
