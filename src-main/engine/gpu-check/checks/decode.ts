/** Kernels of the GPU decode engine: products over every form of weights, and attention over a cache, against double-precision sums. */
import { RandomStream } from '../../data/random-stream.ts';
import { decodeBfloats, decodeHalves, encodeBfloats, encodeHalves } from '../../formats/float16.ts';
import { nf4BlockSize, nf4Levels } from '../../formats/nf4.ts';
import { packCodes } from '../../formats/packed-linear.ts';
import { attentionShader, mergeShader, partialFloats, segmentPositions } from '../../rollouts/gpu/kernels/attention.ts';
import type { CacheShape } from '../../rollouts/gpu/kernels/cache.ts';
import { lanesProduct, lanesWorkgroups } from '../../rollouts/gpu/kernels/lanes.ts';
import { type ProductShape, tilesProduct } from '../../rollouts/gpu/kernels/products.ts';
import type { WeightFormat } from '../../rollouts/gpu/kernels/weight-format.ts';
import { deviation, type GpuCheck, normals } from '../check.ts';
import { runShader, type Values } from '../run-shader.ts';

const small = { outFeatures: 80, inFeatures: 192 };
const rows = 16;

interface Sizes {
  outFeatures: number;
  inFeatures: number;
}

const integer = (bits: number, symmetric: boolean, groupSize: number): WeightFormat => ({
  ...{ kind: 'integer', bits, symmetric, groupSize, grouped: false },
});
const formats: Record<string, WeightFormat> = {
  float32: { kind: 'float32' },
  bfloat16: { kind: 'bfloat16' },
  float16: { kind: 'float16' },
  NF4: { kind: 'nf4' },
  ...Object.fromEntries([2, 3, 4, 8].map((bits) => [`W${bits}G64`, integer(bits, true, 64)])),
  'W3G6 asymmetric': integer(3, false, 6),
};

export const decodeChecks: readonly GpuCheck[] = [
  ...Object.entries(formats).flatMap(([name, format]) => [lanesCheck(name, format, 4, small), tilesCheck(name, format)]),
  // So many outputs that a team of lanes computes several, and whole rounds of blocks.
  lanesCheck('W4G128', integer(4, true, 128), 1, { outFeatures: 4100, inFeatures: 1024 }),
  lanesCheck('W4G32 asymmetric', integer(4, false, 32), 8, { outFeatures: 4098, inFeatures: 96 }),
  lanesCheck('bfloat16', { kind: 'bfloat16' }, 2, { outFeatures: 2050, inFeatures: 512 }),
  lanesCheck('NF4', { kind: 'nf4' }, 8, { outFeatures: 2050, inFeatures: 320 }),
  ...[5, 6, 7, 8].map((bits) => lanesCheck(`W${bits}G32 asymmetric`, integer(bits, false, 32), 2, small)),
  lanesCheck('W4G32, swiglu', integer(4, true, 32), 2, { outFeatures: 4106, inFeatures: 96 }, 'swiglu'),
  attentionCheck('decode attention, 4/2 × 64, 300 positions', 'whole', 300),
  attentionCheck('decode attention split, 4/2 × 64, 700 positions', 'split', 700),
];

function lanesCheck(name: string, format: WeightFormat, count: number, sizes: Sizes, epilogue: 'store' | 'swiglu' = 'store'): GpuCheck {
  const { outFeatures, inFeatures } = sizes;
  return {
    name: `decode lanes ${name}, ${count}×${inFeatures} → ${outFeatures}`,
    run: async () => {
      const columns = epilogue === 'swiglu' ? outFeatures / 2 : outFeatures;
      const { values, buffers } = weightsOf(format, sizes);
      const x = normals(count * inFeatures, 41);
      const shape: ProductShape = { format, ...sizes, stride: columns, bias: false, epilogue };
      const operands = [x, new Float32Array(count * columns), new Uint32Array(4), ...buffers];
      const [y] = await runShader(lanesProduct(shape, count), operands, [lanesWorkgroups(shape)], { reads: [1], uniform: 2 });
      const sums = product(x, values, count, sizes);
      return { maxError: deviation(y!, epilogue === 'swiglu' ? gated(sums, columns) : sums), tolerance: 2e-5 };
    },
  };
}

function tilesCheck(name: string, format: WeightFormat): GpuCheck {
  const { outFeatures, inFeatures } = small;
  return {
    name: `decode tiles ${name}, ${rows}×${inFeatures} → ${outFeatures}`,
    run: async () => {
      const { values, buffers } = weightsOf(format, small);
      const x = normals(rows * inFeatures, 41);
      const shape: ProductShape = { format, ...small, stride: outFeatures, bias: false, epilogue: 'store' };
      const operands = [x, new Float32Array(rows * outFeatures), new Uint32Array(4), ...buffers];
      const groups = [Math.ceil(outFeatures / 32)] as const;
      const [y] = await runShader(tilesProduct(shape, { rows, columns: 32 }), operands, groups, { reads: [1], uniform: 2 });
      return { maxError: deviation(y!, product(x, values, rows, small)), tolerance: 2e-5 };
    },
  };
}

function product(x: Float32Array, w: ArrayLike<number>, count: number, { outFeatures, inFeatures }: Sizes): Float64Array {
  const y = new Float64Array(count * outFeatures);
  for (let row = 0; row < count; row++) {
    for (let out = 0; out < outFeatures; out++) {
      for (let k = 0; k < inFeatures; k++) y[row * outFeatures + out]! += x[row * inFeatures + k]! * w[out * inFeatures + k]!;
    }
  }
  return y;
}

/** silu(gate) · up of rows that hold all gates, then all ups. */
function gated(sums: Float64Array, columns: number): Float64Array {
  return Float64Array.from({ length: sums.length / 2 }, (_, at) => {
    const gate = sums[at + Math.floor(at / columns) * columns]!;
    return (gate / (1 + Math.exp(-gate))) * sums[at + Math.floor(at / columns) * columns + columns]!;
  });
}

/** Random weights of a form: what they stand for, and their buffers. */
function weightsOf(format: WeightFormat, { outFeatures, inFeatures }: Sizes): { values: ArrayLike<number>; buffers: Values[] } {
  const count = outFeatures * inFeatures;
  const floats = normals(count, 42);
  if (format.kind === 'float32') return { values: floats, buffers: [floats] };
  if (format.kind !== 'nf4' && format.kind !== 'integer') {
    const isBfloat = format.kind === 'bfloat16';
    const patterns = isBfloat ? encodeBfloats(floats) : encodeHalves(floats);
    return { values: isBfloat ? decodeBfloats(patterns) : decodeHalves(patterns), buffers: [new Uint32Array(patterns.buffer)] };
  }
  const stream = new RandomStream(43, 'codes');
  const bits = format.kind === 'nf4' ? 4 : format.bits;
  const codes = Uint8Array.from({ length: count }, () => stream.integer(0, 2 ** bits - 1));
  const words = new Uint32Array(packCodes(codes, outFeatures, inFeatures, bits).buffer);
  const size = format.kind === 'nf4' ? nf4BlockSize : format.groupSize;
  const groups = inFeatures / size;
  const scales = Float32Array.from({ length: outFeatures * groups }, () => 0.1 + stream.uniform());
  const groupOf = (place: number) => Math.floor(place / size);
  if (format.kind === 'nf4')
    return { values: Array.from(codes, (code, at) => nf4Levels[code]! * scales[groupOf(at)]!), buffers: [words, scales] };
  const zeros = scales.map(() => (format.symmetric ? 2 ** (bits - 1) : stream.integer(0, 2 ** bits - 1)));
  const values = Array.from(codes, (code, at) => scales[groupOf(at)]! * (code - zeros[groupOf(at)]!));
  return { values, buffers: [words, scales, ...(format.symmetric ? [] : [zeros])] };
}

/** Three rows at different positions of two slots, one of them idle. */
function attentionCheck(name: string, form: 'whole' | 'split', positions: number): GpuCheck {
  const sizes = { heads: 4, kvHeads: 2, headDim: 64 };
  const cache: CacheShape = { keys: 'float32', values: 'float32', slots: 2, kvHeads: 2, headDim: 64, capacity: 720 };
  return {
    name,
    run: async () => {
      const width = (sizes.heads + 2 * sizes.kvHeads) * sizes.headDim;
      const places = Uint32Array.of(1, positions - 1, 0, 0xffffffff, 0, 40);
      const qkv = normals(3 * width, 44).map((value) => value / 8);
      const size = cache.slots * cache.kvHeads * cache.capacity * cache.headDim;
      const [keys, values] = [normals(size, 45), normals(size, 46)];
      const segments = Math.ceil(cache.capacity / segmentPositions);
      const mixed = new Float32Array(3 * sizes.heads * sizes.headDim);
      const target = form === 'whole' ? mixed : new Float32Array(3 * sizes.heads * segments * partialFloats(sizes));
      const groups = [sizes.kvHeads, 3, form === 'whole' ? 1 : Math.ceil(positions / segmentPositions)] as const;
      let [output] = await runShader(attentionShader(sizes, cache, form), [qkv, places, target, keys, values], groups, { reads: [2] });
      if (form === 'split') {
        [output] = await runShader(mergeShader(sizes, cache.capacity), [output!, places, mixed], [sizes.heads, 3], { reads: [2] });
      }
      return { maxError: deviation(output!, attend(qkv, places, keys, values, cache, sizes.heads)), tolerance: 2e-5 };
    },
  };
}

function attend(
  qkv: Float32Array,
  places: Uint32Array,
  keys: Float32Array,
  values: Float32Array,
  cache: CacheShape,
  heads: number,
): Float64Array {
  const { kvHeads, headDim, capacity } = cache;
  const output = new Float64Array((places.length / 2) * heads * headDim);
  for (let row = 0; row < places.length / 2; row++) {
    const [slot, position] = [places[2 * row]!, places[2 * row + 1]!];
    if (position === 0xffffffff) continue;
    for (let head = 0; head < heads; head++) {
      const block = slot * kvHeads + Math.floor((head * kvHeads) / heads);
      const query = qkv.subarray(row * (heads + 2 * kvHeads) * headDim + head * headDim);
      const key = (p: number, d: number) => keys[4 * ((block * (headDim / 4) + Math.floor(d / 4)) * capacity + p) + (d % 4)]!;
      const scores = Float64Array.from({ length: position + 1 }, (_, p) => {
        let sum = 0;
        for (let d = 0; d < headDim; d++) sum += query[d]! * key(p, d);
        return Math.exp(sum);
      });
      const total = scores.reduce((sum, score) => sum + score, 0);
      for (let p = 0; p <= position; p++) {
        for (let d = 0; d < headDim; d++) {
          output[(row * heads + head) * headDim + d]! += (scores[p]! / total) * values[(block * capacity + p) * headDim + d]!;
        }
      }
    }
  }
  return output;
}
