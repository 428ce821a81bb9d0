/** Linears whose weights stay packed: product and gradient against float64 sums over the stored values. */
import * as tf from '@tensorflow/tfjs-core';
import { RandomStream } from '../../data/random-stream.ts';
import { nf4BlockCount } from '../../formats/nf4.ts';
import { groupCount, type PackedLinear, roundScales } from '../../formats/packed-linear.ts';
import { dequantizeStored, type StoredLinear } from '../../formats/stored-linear.ts';
import { disposePacked, packedLinear, packWeight } from '../../ops/index.ts';
import { deviation, type GpuCheck, normals } from '../check.ts';

interface Shape {
  rows: number;
  outFeatures: number;
  inFeatures: number;
}

const even: Shape = { rows: 5, outFeatures: 24, inFeatures: 256 };
const ragged: Shape = { rows: 3, outFeatures: 13, inFeatures: 75 };

export const packedChecks: readonly GpuCheck[] = [
  ...([2, 3, 4, 8] as const).flatMap((bits) => [
    packedCheck(`packedLinear W${bits}G128 symmetric, 5×256 → 24`, integerLinear(bits, true, even, 128), even.rows),
    packedCheck(`packedLinear W${bits}G7 asymmetric, 3×75 → 13`, integerLinear(bits, false, ragged, 7), ragged.rows),
    packedCheck(`packedLinear W${bits}G128 symmetric, one row of 256 → 24`, integerLinear(bits, true, even, 128), 1),
  ]),
  packedCheck('packedLinear NF4, 5×256 → 24', nf4Linear(even), even.rows),
  packedCheck('packedLinear NF4, one row of 75 → 13', nf4Linear(ragged), 1),
];

function packedCheck(name: string, stored: StoredLinear, rows: number): GpuCheck {
  return {
    name,
    run: async () => {
      const { outFeatures, inFeatures } = stored;
      const x = normals(rows * inFeatures, 30);
      const dy = normals(rows * outFeatures, 31);
      const expected = exact(stored, x, dy, rows);
      const weight = packWeight(stored);
      const [y, dx] = tf.tidy(() => {
        const input = tf.tensor2d(x, [rows, inFeatures]);
        const direction = tf.tensor2d(dy, [rows, outFeatures]);
        const form = (values: tf.Tensor) => packedLinear(values as tf.Tensor2D, weight, null);
        return [form(input), tf.grad((values) => tf.sum(tf.mul(form(values), direction)))(input)] as const;
      });
      const actual = [await y.data(), await dx.data()];
      tf.dispose([y, dx]);
      disposePacked(weight);
      return { maxError: Math.max(deviation(actual[0]!, expected.y), deviation(actual[1]!, expected.dx)), tolerance: 2e-5 };
    },
  };
}

function exact(stored: StoredLinear, x: Float32Array, dy: Float32Array, rows: number): { y: Float64Array; dx: Float64Array } {
  const { outFeatures, inFeatures } = stored;
  const w = dequantizeStored(stored);
  const y = new Float64Array(rows * outFeatures);
  const dx = new Float64Array(rows * inFeatures);
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < outFeatures; o++) {
      for (let i = 0; i < inFeatures; i++) {
        y[r * outFeatures + o]! += x[r * inFeatures + i]! * w[o * inFeatures + i]!;
        dx[r * inFeatures + i]! += dy[r * outFeatures + o]! * w[o * inFeatures + i]!;
      }
    }
  }
  return { y, dx };
}

function integerLinear(bits: PackedLinear['bits'], symmetric: boolean, shape: Shape, groupSize: number): PackedLinear {
  const { outFeatures, inFeatures } = shape;
  const stream = new RandomStream(bits, 'gpu-check', 'packed');
  const scaleCount = outFeatures * groupCount(inFeatures, groupSize);
  return {
    ...{ bits, symmetric, outFeatures, inFeatures, groupSize, groupIndex: null },
    codes: Uint8Array.from({ length: outFeatures * inFeatures }, () => stream.integer(0, 2 ** bits - 1)),
    scales: roundScales(Float32Array.from({ length: scaleCount }, () => (0.1 + stream.uniform()) / 2 ** bits)),
    zeros: Uint8Array.from({ length: scaleCount }, () => (symmetric ? 2 ** (bits - 1) : stream.integer(0, 2 ** bits - 1))),
  };
}

function nf4Linear({ outFeatures, inFeatures }: Shape): StoredLinear {
  const stream = new RandomStream(4, 'gpu-check', 'nf4');
  const codes = Uint8Array.from({ length: outFeatures * inFeatures }, () => stream.integer(0, 15));
  const absmax = Float32Array.from({ length: nf4BlockCount(outFeatures, inFeatures) }, () => 0.1 + stream.uniform());
  return { coding: 'nf4', bits: 4, outFeatures, inFeatures, codes, absmax, nested: null };
}
