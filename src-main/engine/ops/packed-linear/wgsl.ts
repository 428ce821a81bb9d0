/**
 * WGSL that reads packed weights in place: one, four or eight consecutive weights of a row of W [out, in], dequantized. The buffers are those
 * of `PackedWeight`, bound as u32 (codes, zero points, group index) and f32 (scales).
 */

import type * as tf from '@tensorflow/tfjs-core';
import type { ComputedMatrix } from '../../backends/webgpu/gemm/operands.ts';
import { packedEightType } from '../../backends/webgpu/gemm/variant.ts';
import { nf4Levels } from '../../formats/nf4.ts';
import { type PackedWeightLayout, streamShape } from './weight.ts';

export { packedEightType };

/** What of a packed weight is compiled into a shader. */
export interface PackedFormat {
  coding: 'integer' | 'nf4';
  bits: number;
  groupSize: number;
  zeros: boolean;
  groupIndex: boolean;
  /** Eight weights from a column that is a multiple of eight on have one scale and, in NF4, begin in a whole word. */
  aligned: boolean;
}

/** A `PackedWeight`, or what a kernel is given of one. */
export interface PackedParts {
  layout: PackedWeightLayout;
  words: tf.TensorInfo;
  scales: tf.TensorInfo;
  zeros: tf.TensorInfo | null;
  groupIndex: tf.TensorInfo | null;
}

export function packedFormat({ layout, zeros, groupIndex }: Omit<PackedParts, 'words' | 'scales'>): PackedFormat {
  const { coding, bits, groupSize, inFeatures } = layout;
  const aligned = coding === 'nf4' ? inFeatures % 8 === 0 : groupIndex === null && (groupSize % 8 === 0 || groupSize >= inFeatures);
  return { coding, bits, groupSize, zeros: zeros !== null, groupIndex: groupIndex !== null, aligned };
}

/** Names the code of `packedReader`. */
export function packedFormatName({ coding, bits, groupSize, zeros, groupIndex, aligned }: PackedFormat): string {
  return `${coding === 'nf4' ? 'nf4' : `w${bits}g${groupSize}`}${zeros ? 'z' : ''}${groupIndex ? 'i' : ''}${aligned ? '' : 'u'}`;
}

/** Members of `parameters` that the reader uses: words and groups per row of W, and its columns. */
export function packedParameters({ layout }: Pick<PackedParts, 'layout'>): { wordsPerRow: number; groups: number; inFeatures: number } {
  return { ...streamShape(layout), inFeatures: layout.inFeatures };
}

/** The weight as B of `gemm`, [out, in]: with `transB` for x · Wᵀ, without for dy · W. */
export function packedMatrix(weight: PackedParts): ComputedMatrix {
  const { words, scales, zeros, groupIndex } = weight;
  const format = packedFormat(weight);
  const word = (of: tf.TensorInfo) => ({ of, as: 'u32' });
  return {
    name: packedFormatName(format),
    reads: {
      wWords: word(words),
      wScales: scales,
      ...(zeros ? { wZeros: word(zeros) } : {}),
      ...(groupIndex ? { wGroupIndex: word(groupIndex) } : {}),
    },
    integers: packedParameters(weight),
    code: packedReader(format),
  };
}

export interface PackedNames {
  /** Functions and buffers begin with it: `wWords`, `wScales`, `wZeros`, `wGroupIndex`. */
  prefix: string;
  /** WGSL expressions of u32. */
  wordsPerRow: string;
  groups: string;
  inFeatures: string;
}

const parameterNames = { wordsPerRow: 'parameters.wordsPerRow', groups: 'parameters.groups', inFeatures: 'parameters.inFeatures' };

/**
 * WGSL functions, with prefix `w`:
 * `wOne(row, column) -> f32`;
 * `wFour(row, column) -> vec4<f32>`, columns from a multiple of 4 on;
 * `wEight(row, column) -> PackedEight`, columns from a multiple of 8 on;
 * `wStart(lane)`, which the entry point calls first, followed by a barrier: invocations 0 … 15 fill NF4's table of levels.
 * Weights past the end of a row are some finite number.
 */
export function packedReader(format: PackedFormat, { prefix, ...shape }: PackedNames = { prefix: 'w', ...parameterNames }): string {
  const { coding, bits, aligned } = format;
  const p = prefix;
  const low = coding === 'nf4' ? nf4Codes(p, shape.inFeatures, aligned) : integerCodes(p, shape.wordsPerRow, bits);
  const values = coding === 'nf4' ? nf4Values(p, shape.inFeatures, format) : integerValues(p, shape.groups, format);
  return `
${bitsFunction(`${p}Bits`, `${p}Words`)}
${low}
${values}
fn ${p}One(row : u32, column : u32) -> f32 { return ${p}Values(row, column, vec4<u32>(${p}Code(row, column), 0u, 0u, 0u)).x; }
fn ${p}Four(row : u32, column : u32) -> vec4<f32> { return ${p}Values(row, column, ${p}Codes4(row, column)); }
${eight(p, format, shape)}`;
}

/** The 32 bits of a stream from bit `shift` of a word on. */
function bitsFunction(name: string, stream: string): string {
  return `fn ${name}(place : u32, shift : u32) -> u32 { return (${stream}[place] >> shift) | ((${stream}[place + 1u] << 1u) << (31u - shift)); }`;
}

function integerCodes(p: string, wordsPerRow: string, bits: number): string {
  const mask = 2 ** bits - 1;
  const field = 32 % (4 * bits) === 0 ? `${p}Words[place] >> shift` : `${p}Bits(place, shift)`;
  const codes = bits === 8 ? `unpack4xU8(${p}Words[place])` : `(vec4<u32>(${field}) >> ${shifts(bits)}) & vec4<u32>(${mask}u)`;
  const head = `let bit = column * ${bits}u; let place = row * ${wordsPerRow} + bit / 32u; let shift = bit % 32u;`;
  return `
fn ${p}Start(lane : u32) {}
fn ${p}Code(row : u32, column : u32) -> u32 { ${head} return ${p}Bits(place, shift) & ${mask}u; }
fn ${p}Codes4(row : u32, column : u32) -> vec4<u32> { ${head} return ${codes}; }`;
}

function integerValues(p: string, groups: string, { bits, groupSize, zeros, groupIndex, aligned }: PackedFormat): string {
  const group = (column: string) => (groupIndex ? `${p}GroupIndex[${column}]` : `(${column}) / ${groupSize}u`);
  const zero = zeros ? `f32(${p}ZeroBits(place * ${bits}u / 32u, place * ${bits}u % 32u) & ${2 ** bits - 1}u)` : `${2 ** (bits - 1)}.0`;
  const columns = ['column', 'column + 1u', 'column + 2u', 'column + 3u'];
  const quads = (value: (column: string) => string) => `vec4<f32>(${columns.map(value).join(', ')})`;
  const values = aligned
    ? `let place = row * ${groups} + ${group('column')}; return ${p}Scales[place] * (vec4<f32>(codes) - ${p}Zero(place));`
    : `let first = row * ${groups}; return ${quads((column) => `${p}Scales[first + ${group(column)}]`)}
  * (vec4<f32>(codes) - ${quads((column) => `${p}Zero(first + ${group(column)})`)});`;
  return `
${zeros ? bitsFunction(`${p}ZeroBits`, `${p}Zeros`) : ''}
fn ${p}Zero(place : u32) -> f32 { return ${zero}; }
fn ${p}Values(row : u32, column : u32, codes : vec4<u32>) -> vec4<f32> { ${values} }`;
}

function nf4Codes(p: string, inFeatures: string, aligned: boolean): string {
  const levels = [...nf4Levels].map((level) => (Number.isInteger(level) ? level.toFixed(1) : String(level)));
  const field = aligned ? `${p}Words[at / 8u] >> (4u * (at % 8u))` : `${p}Bits(at / 8u, 4u * (at % 8u))`;
  return `
var<workgroup> ${p}Levels : array<f32, 16>;
fn ${p}Start(lane : u32) {
  var levels = array<f32, 16>(${levels.join(', ')});
  if (lane < 16u) { ${p}Levels[lane] = levels[lane]; }
}
fn ${p}Code(row : u32, column : u32) -> u32 { let at = row * ${inFeatures} + column; return (${p}Words[at / 8u] >> (4u * (at % 8u))) & 15u; }
fn ${p}Codes4(row : u32, column : u32) -> vec4<u32> {
  let at = row * ${inFeatures} + column;
  return (vec4<u32>(${field}) >> ${shifts(4)}) & vec4<u32>(15u);
}`;
}

function nf4Values(p: string, inFeatures: string, { groupSize, aligned }: PackedFormat): string {
  const level = 'xyzw'.split('').map((lane) => `${p}Levels[codes.${lane}]`);
  const scale = (i: number) => `${p}Scales[(at + ${i}u) / ${groupSize}u]`;
  const scales = aligned ? scale(0) : `vec4<f32>(${[0, 1, 2, 3].map(scale).join(', ')})`;
  return `
fn ${p}Values(row : u32, column : u32, codes : vec4<u32>) -> vec4<f32> {
  let at = row * ${inFeatures} + column;
  return ${scales} * vec4<f32>(${level.join(', ')});
}`;
}

/** Eight weights: four bytes are taken apart at once where a word holds codes of two or four bits in whole. */
function eight(p: string, { coding, bits, aligned }: PackedFormat, { wordsPerRow, inFeatures }: Omit<PackedNames, 'prefix'>): string {
  const head = `fn ${p}Eight(row : u32, column : u32) -> PackedEight {`;
  const values = (low: string, high: string) =>
    `return PackedEight(${p}Values(row, column, ${low}), ${p}Values(row, column + 4u, ${high})); }`;
  if (coding === 'nf4' ? !aligned : bits !== 2 && bits !== 4) {
    return `${head} ${values(`${p}Codes4(row, column)`, `${p}Codes4(row, column + 4u)`)}`;
  }
  if (bits === 4) {
    const place = coding === 'nf4' ? `(row * ${inFeatures} + column) / 8u` : `row * ${wordsPerRow} + column / 8u`;
    return `${head}
  let word = ${p}Words[${place}];
  let even = unpack4xU8(word & 0x0f0f0f0fu);
  let odd = unpack4xU8((word >> 4u) & 0x0f0f0f0fu);
  ${values('vec4<u32>(even.x, odd.x, even.y, odd.y)', 'vec4<u32>(even.z, odd.z, even.w, odd.w)')}`;
  }
  return `${head}
  let field = (${p}Words[row * ${wordsPerRow} + column / 16u] >> (2u * (column % 16u))) & 0xffffu;
  let spread = field | ((field >> 2u) << 16u);
  let first = unpack4xU8(spread & 0x03030303u);
  let second = unpack4xU8((spread >> 4u) & 0x03030303u);
  ${values('vec4<u32>(first.x, first.z, second.x, second.z)', 'vec4<u32>(first.y, first.w, second.y, second.w)')}`;
}

function shifts(bits: number): string {
  return `vec4<u32>(0u, ${bits}u, ${2 * bits}u, ${3 * bits}u)`;
}
