/** Reading packed weights in WGSL, in every format, and the products that read them in place. */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { dispatch } from '../../../../src-main/engine/backends/webgpu/compute.ts';
import type { Kernel } from '../../../../src-main/engine/backends/webgpu/gemm/choose.ts';
import { gemm } from '../../../../src-main/engine/backends/webgpu/gemm/index.ts';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import { nf4BlockCount } from '../../../../src-main/engine/formats/nf4.ts';
import { groupCount, type PackedLinear } from '../../../../src-main/engine/formats/packed-linear.ts';
import { dequantizeStored, type StoredLinear } from '../../../../src-main/engine/formats/stored-linear.ts';
import { disposePacked, packWeight } from '../../../../src-main/engine/ops/index.ts';
import { packedEightType, packedMatrix } from '../../../../src-main/engine/ops/packed-linear/wgsl.ts';
import { expectClose, normals, testBackends } from './op-check.ts';

const outFeatures = 5;

function integerLinear(bits: number, inFeatures: number, groupSize: number, kind: 'symmetric' | 'zeros' | 'shuffled'): PackedLinear {
  const stream = new RandomStream(bits, 'packed-kernels');
  const groups = groupCount(inFeatures, groupSize);
  const codes = (count: number) => Uint8Array.from({ length: count }, () => stream.integer(0, 2 ** bits - 1));
  return {
    bits: bits as PackedLinear['bits'],
    symmetric: kind === 'symmetric',
    ...{ outFeatures, inFeatures, groupSize },
    codes: codes(outFeatures * inFeatures),
    scales: Float32Array.from({ length: outFeatures * groups }, () => 0.25 + stream.integer(0, 64) / 64),
    zeros: kind === 'symmetric' ? new Uint8Array(outFeatures * groups).fill(2 ** (bits - 1)) : codes(outFeatures * groups),
    groupIndex: kind === 'shuffled' ? Int32Array.from({ length: inFeatures }, (_, i) => (i * 7) % groups) : null,
  };
}

function nf4Linear(inFeatures: number): StoredLinear {
  const stream = new RandomStream(4, 'packed-kernels', 'nf4');
  const codes = Uint8Array.from({ length: outFeatures * inFeatures }, () => stream.integer(0, 15));
  const absmax = Float32Array.from({ length: nf4BlockCount(outFeatures, inFeatures) }, () => 0.1 + stream.uniform());
  return { coding: 'nf4', bits: 4, outFeatures, inFeatures, codes, absmax, nested: null };
}

// One format of every way to read codes: a software adapter spends a second compiling each.
const formats: [string, StoredLinear][] = [
  ...[2, 3, 4, 8].map((bits): [string, StoredLinear] => [`W${bits} in groups of 16`, integerLinear(bits, 64, 16, 'symmetric')]),
  ...[2, 4, 7].map((bits): [string, StoredLinear] => [`W${bits} with zero points in groups of 7`, integerLinear(bits, 37, 7, 'zeros')]),
  ['W3 with a group index', integerLinear(3, 48, 16, 'shuffled')],
  ['NF4', nf4Linear(40)],
  ['NF4 whose rows end inside a word', nf4Linear(37)],
];

const small = { tileM: 16, tileN: 16, tileK: 8, blockM: 4, blockN: 4, half: false };
const kernels: [string, Kernel][] = [
  ['teams', { kind: 'rows', shape: { rowsA: 2, rowsB: 2, team: 32, subgroups: false } }],
  ['register tiles', { kind: 'tile', shape: small, slices: 1 }],
  ['the shader of software adapters', { kind: 'plain' }],
];

describe.skipIf(!testBackends.includes('webgpu'))('packed weights in WGSL', () => {
  beforeAll(async () => {
    await selectBackend('webgpu');
  });

  it.each(formats)('%s: one, four and eight at a time are the stored values', async (_, stored) => {
    const { inFeatures } = stored;
    const weight = packWeight(stored);
    const matrix = packedMatrix(weight);
    const columns = 8 * Math.ceil(inFeatures / 8);
    const outputs = [0, 1, 2].map(() => tf.zeros([outFeatures, columns]));
    dispatch({
      name: `test-read-${matrix.name}`,
      reads: matrix.reads,
      writes: { ones: outputs[0]!, fours: outputs[1]!, eights: outputs[2]! },
      // A bound that the compiler does not know keeps it from unrolling the loop.
      integers: { ...matrix.integers, columns, width: 8 },
      workgroups: outFeatures,
      code: () => `${packedEightType}${matrix.code}
      @compute @workgroup_size(16) fn main(@builtin(workgroup_id) group : vec3<u32>, @builtin(local_invocation_index) lane : u32) {
        wStart(lane);
        workgroupBarrier();
        let first = group.x * parameters.columns;
        for (var column = 8u * lane; column < parameters.columns; column += 128u) {
          let four = array(wFour(group.x, column), wFour(group.x, column + 4u));
          let eight = wEight(group.x, column);
          for (var i = 0u; i < parameters.width; i++) {
            let place = first + column + i;
            ones[place] = wOne(group.x, column + i);
            fours[place] = four[i / 4u][i % 4u];
            eights[place] = select(eight.low[i % 4u], eight.high[i % 4u], i >= 4u);
          }
        }
      }`,
    });
    const expected = dequantizeStored(stored);
    for (const output of outputs) {
      const values = await output.data();
      expect(values.every(Number.isFinite)).toBe(true);
      const rows = Array.from({ length: outFeatures }, (_, row) => [...values.slice(row * columns, row * columns + inFeatures)]);
      expect(Float32Array.from(rows.flat())).toEqual(expected);
    }
    tf.dispose(outputs);
    disposePacked(weight);
  });

  it.each(kernels)('are multiplied by %s, forward and, unless rows are few, backward', async (name, kernel) => {
    for (const stored of [integerLinear(4, 64, 16, 'zeros'), nf4Linear(40)]) {
      const { inFeatures } = stored;
      const weight = packWeight(stored);
      const w = dequantizeStored(stored);
      for (const transB of name === 'teams' ? [true] : [true, false]) {
        const [m, n, k] = transB ? [2, outFeatures, inFeatures] : [2, inFeatures, outFeatures];
        const a = normals(m * k, 1);
        const expected = new Float64Array(m * n);
        for (let i = 0; i < m * n; i++) {
          const [row, column] = [Math.floor(i / n), i % n];
          for (let q = 0; q < k; q++) expected[i]! += a[row * k + q]! * w[transB ? column * k + q : q * n + column]!;
        }
        const [left, c] = [tf.tensor1d(Float32Array.from(a)), tf.zeros([m, n])];
        gemm({ a: left, b: packedMatrix(weight), c, m, n, k, transB, kernel });
        await expectClose(c, expected, 2e-6, `${name}, ${packedMatrix(weight).name}, ${transB ? 'forward' : 'backward'}`);
        tf.dispose([left, c]);
      }
      disposePacked(weight);
    }
  });
});
