/** How GEMM shaders read operands: f32, f16 or bf16, four values at a time where rows allow it, one at a time otherwise. */
import { bufferOf, type Operand, type View } from '../compute.ts';

/** 'f16' and 'bf16' hold two values per 32-bit word, the first in the low half. */
export type ElementType = 'f32' | 'f16' | 'bf16';

export const elementBytes: Record<ElementType, number> = { f32: 4, f16: 2, bf16: 2 };

/** WGSL type of the buffer's elements. */
export function storedAs(type: ElementType, vector: boolean): string {
  if (type === 'f32') return vector ? 'vec4<f32>' : 'f32';
  return vector ? 'vec2<u32>' : 'u32';
}

const unpackPair: Record<'f16' | 'bf16', string> = {
  f16: 'fn NAMEPair(word : u32) -> vec2<f32> { return unpack2x16float(word); }',
  bf16: 'fn NAMEPair(word : u32) -> vec2<f32> { return vec2<f32>(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u)); }',
};

/** WGSL function `NAMEOne(at)`: the value of element `at` of a buffer read one value at a time. */
export function oneFunction(name: 'a' | 'b', type: ElementType): string {
  const bits = `(${name}[at / 2u] >> (16u * (at % 2u)))`;
  const value = { f32: `${name}[at]`, f16: `unpack2x16float(${bits}).x`, bf16: `bitcast<f32>(${bits} << 16u)` }[type];
  return `fn ${name}One(at : u32) -> f32 { return ${value}; }`;
}

/**
 * WGSL function `NAMEFetch(base, major, minor, majorEnd, minorEnd)`: the four values at (major, minor … minor + 3) of the matrix of leading
 * dimension `parameters.ldNAME` that starts at element `base`, zeros from the ends on. Without branches: a load outside the buffer is
 * harmless. As vectors, everything counted in elements along a row must be a multiple of four.
 */
export function fetchFunction(name: 'a' | 'b', type: ElementType, vector: boolean): string {
  const head = `fn ${name}Fetch(base : u32, major : u32, minor : u32, majorEnd : u32, minorEnd : u32) -> vec4<f32> {
    let at = base + major * parameters.ld${name} + minor;`;
  if (!vector) {
    const values = [0, 1, 2, 3].map((i) => `${name}One(at + ${i}u)`).join(', ');
    return `${oneFunction(name, type)}
  ${head} return select(vec4<f32>(), vec4<f32>(${values}), (vec4<u32>(minor) + vec4<u32>(0, 1, 2, 3) < vec4<u32>(minorEnd)) & vec4<bool>(major < majorEnd)); }`;
  }
  const values = type === 'f32' ? `${name}[at / 4u]` : `vec4<f32>(${name}Pair(${name}[at / 4u].x), ${name}Pair(${name}[at / 4u].y))`;
  return `${type === 'f32' ? '' : unpackPair[type].replace('NAME', name)}
  ${head} return select(vec4<f32>(), ${values}, major < majorEnd && minor < minorEnd); }`;
}

/** A matrix B that a shader computes from other buffers, such as packed weights: the stored form [n, k] that `transB` stands for. */
export interface ComputedMatrix {
  /** Names the code. */
  name: string;
  reads: Record<string, Operand>;
  /** Members of `parameters` that the code uses. */
  integers: Record<string, number>;
  /**
   * WGSL functions `wOne(row, column)`, `wFour(row, column)` and `wEight(row, column) -> PackedEight` as `packedReader` has them, and
   * `wStart(lane)`, which is called before anything else.
   */
  code: string;
}

/** `fetchFunction` for a computed B. */
export function computedFetch(): string {
  return `fn bFetch(base : u32, major : u32, minor : u32, majorEnd : u32, minorEnd : u32) -> vec4<f32> {
    let inside = (vec4<u32>(minor) + vec4<u32>(0, 1, 2, 3) < vec4<u32>(minorEnd)) & vec4<bool>(major < majorEnd);
    return select(vec4<f32>(), wFour(major, minor), inside);
  }`;
}

/** Elements `first` … `first + count − 1` of an operand. */
export interface Span {
  of: View['of'];
  type: ElementType;
  /** Bytes of the buffer before element 0, and after it. */
  offset: number;
  size: number;
  first: number;
}

export function spanOf(operand: Operand, type: ElementType = 'f32'): Span {
  const view: View = 'of' in operand ? operand : { of: operand };
  const buffer = 'dataId' in view.of ? bufferOf(view.of) : view.of;
  const offset = view.offset ?? 0;
  return { of: view.of, type, offset, size: view.size ?? buffer.size - offset, first: 0 };
}

/** The same operand from `elements` further on. */
export function advance(span: Span, elements: number): Span {
  return { ...span, first: span.first + elements };
}

/**
 * What to bind so that a shader reaches `count` elements from the span's first on, and that element's number in the binding. Where the whole
 * operand fits in a binding it is taken, so that equal dispatches share a bind group.
 */
export function bindSpan(span: Span, count: number, as: string, limits: GPUSupportedLimits): { view: View; first: number } {
  const { of, type, offset, size, first } = span;
  if (size <= limits.maxStorageBufferBindingSize) return { view: { of, as, offset, size }, first };
  const bytes = elementBytes[type];
  const alignment = limits.minStorageBufferOffsetAlignment;
  const skipped = alignment * Math.floor((first * bytes) / alignment);
  const end = Math.min(size, 16 * Math.ceil(((first + count) * bytes) / 16));
  return { view: { of, as, offset: offset + skipped, size: end - skipped }, first: first - skipped / bytes };
}

/** Whether `bindSpan` can reach so many elements. */
export function fitsBinding({ type, size }: Span, count: number, limits: GPUSupportedLimits): boolean {
  const { maxStorageBufferBindingSize: most, minStorageBufferOffsetAlignment: alignment } = limits;
  return size <= most || count * elementBytes[type] <= most - alignment - 16;
}
