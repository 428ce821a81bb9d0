/** Dequantization on the webgpu backend: one invocation per weight reads its bit field from one or two words. */
import type * as tf from '@tensorflow/tfjs-core';
import { nf4Levels } from '../../formats/nf4.ts';
import { groupSize as invocations, registerWebGpuKernel } from '../webgpu-program.ts';

interface Attributes {
  bits: number;
  outFeatures: number;
  inFeatures: number;
  groupSize: number;
  wordsPerRow: number;
  groups: number;
  symmetric?: boolean;
}
type Inputs = { words: tf.TensorInfo; scales: tf.TensorInfo; zeros?: tf.TensorInfo; groupIndex?: tf.TensorInfo };

/** The field of `bits` bits from bit `bit` of a stream; `stream` is an input's name. */
const fieldOf = (stream: string) => `
fn ${stream}Field(first : i32, bit : i32) -> i32 {
  let place = first + bit / 32;
  let shift = u32(bit % 32);
  var value = bitcast<u32>(${stream}[place]) >> shift;
  if (shift + u32(uniforms.bits) > 32u) { value |= bitcast<u32>(${stream}[place + 1]) << (32u - shift); }
  return i32(value & ((1u << u32(uniforms.bits)) - 1u));
}`;

registerWebGpuKernel('DequantizeInteger', ({ inputs, attributes, run }) => {
  const { words, scales, zeros, groupIndex } = inputs as Inputs;
  const { bits, outFeatures, inFeatures, groupSize, wordsPerRow, groups } = attributes as unknown as Attributes;
  const count = outFeatures * inFeatures;
  const zero = zeros ? 'zerosField(0, place * uniforms.bits)' : '1 << u32(uniforms.bits - 1)';
  const y = run({
    name: `dequantize-integer-${zeros ? 'z' : ''}${groupIndex ? 'g' : ''}`,
    outputShape: [outFeatures, inFeatures],
    inputs: { words, scales, ...(zeros ? { zeros } : {}), ...(groupIndex ? { groupIndex } : {}) },
    workgroups: Math.ceil(count / invocations),
    integers: { bits, columns: inFeatures, size: groupSize, wordsPerRow, groups, count },
    code: `${fieldOf('words')}${zeros ? fieldOf('zeros') : ''}
    fn main(index : i32) {
      let at = group() * ${invocations} + i32(localIndex);
      if (at >= uniforms.count) { return; }
      let row = at / uniforms.columns;
      let column = at % uniforms.columns;
      let place = row * uniforms.groups + ${groupIndex ? 'groupIndex[column]' : 'column / uniforms.size'};
      let code = wordsField(row * uniforms.wordsPerRow, column * uniforms.bits);
      result[at] = scales[place] * f32(code - (${zero}));
    }`,
  });
  return [y];
});

registerWebGpuKernel('DequantizeNf4', ({ inputs, attributes, run }) => {
  const { words, scales } = inputs as Inputs;
  const { outFeatures, inFeatures, groupSize } = attributes as unknown as Attributes;
  const count = outFeatures * inFeatures;
  const y = run({
    name: 'dequantize-nf4',
    outputShape: [outFeatures, inFeatures],
    inputs: { words, scales },
    workgroups: Math.ceil(count / invocations),
    integers: { size: groupSize, count },
    code: `
    const levels = array<f32, 16>(${[...nf4Levels].map((level) => (Number.isInteger(level) ? level.toFixed(1) : String(level))).join(', ')});
    fn main(index : i32) {
      let at = group() * ${invocations} + i32(localIndex);
      if (at >= uniforms.count) { return; }
      let code = (bitcast<u32>(words[at / 8]) >> u32(4 * (at % 8))) & 15u;
      var table = levels;
      result[at] = table[code] * scales[at / uniforms.size];
    }`,
  });
  return [y];
});
