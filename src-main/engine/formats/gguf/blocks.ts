/**
 * Values to the bytes of a GGUF tensor type and back. Q8_0 and Q4_0 are blocks of 32 values with one binary16 scale, computed in
 * float32 step by step as ggml's reference quantizers are (ggml-quants.c, `quantize_row_q8_0_ref` and `quantize_row_q4_0_ref`), so that
 * the bytes are the same.
 */
import { RoundoffError } from '#contract/errors.ts';
import { decodeHalf, decodeHalves, encodeHalf } from '../float16.ts';
import { type GgufTensorType, ggufTensorBytes, ggufTensorTypes } from './types.ts';

const blockValues = 32;
const infinity = 0x7c00;

/** Whole blocks of finite values as bytes. Throws `numeric` for what a 16-bit float cannot hold. */
export function encodeGguf(type: GgufTensorType, values: Float32Array): Uint8Array {
  checkWhole(type, values.length);
  if (type === 'F32') return new Uint8Array(values.slice().buffer);
  const bytes = new Uint8Array(ggufTensorBytes(type, values.length));
  const view = new DataView(bytes.buffer);
  if (type === 'F16') {
    for (let i = 0; i < values.length; i++) view.setUint16(2 * i, toHalf(values[i]!), true);
    return bytes;
  }
  const encode = type === 'Q8_0' ? encodeBlock8 : encodeBlock4;
  const { blockBytes } = ggufTensorTypes[type];
  for (let block = 0; block * blockValues < values.length; block++) encode(values, block * blockValues, view, block * blockBytes);
  return bytes;
}

/** The values that stored bytes stand for; exact in float32. */
export function decodeGguf(type: GgufTensorType, bytes: Uint8Array): Float32Array {
  const { blockBytes } = ggufTensorTypes[type];
  if (type === 'F32') return new Float32Array(bytes.slice().buffer);
  if (type === 'F16') return decodeHalves(new Uint16Array(bytes.slice().buffer));
  const blocks = bytes.length / blockBytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Float32Array(blocks * blockValues);
  const decode = type === 'Q8_0' ? decodeBlock8 : decodeBlock4;
  for (let block = 0; block < blocks; block++) decode(view, block * blockBytes, values, block * blockValues);
  return values;
}

/** Scale = largest magnitude / 127; codes round half away from zero. 2 + 32 bytes. */
function encodeBlock8(values: Float32Array, start: number, view: DataView, offset: number): void {
  let largest = 0;
  for (let i = 0; i < blockValues; i++) largest = Math.max(largest, Math.abs(values[start + i]!));
  const scale = Math.fround(largest / 127);
  const inverse = inverseOf(scale);
  view.setUint16(offset, toHalf(scale), true);
  for (let i = 0; i < blockValues; i++) {
    const scaled = Math.fround(values[start + i]! * inverse);
    const rounded = Math.floor(Math.abs(scaled) + 0.5);
    view.setInt8(offset + 2 + i, scaled < 0 ? -rounded : rounded);
  }
}

/**
 * Scale = (the value of largest magnitude) / −8, so that this value gets the code 0 and is met best; codes are offset by 8. Byte j holds
 * values j and j + 16. 2 + 16 bytes.
 */
function encodeBlock4(values: Float32Array, start: number, view: DataView, offset: number): void {
  let extreme = 0;
  for (let i = 0; i < blockValues; i++) if (Math.abs(values[start + i]!) > Math.abs(extreme)) extreme = values[start + i]!;
  const scale = Math.fround(extreme / -8);
  const inverse = inverseOf(scale);
  const code = (i: number) => Math.min(15, Math.trunc(Math.fround(Math.fround(values[start + i]! * inverse) + 8.5)));
  view.setUint16(offset, toHalf(scale), true);
  for (let j = 0; j < blockValues / 2; j++) view.setUint8(offset + 2 + j, code(j) | (code(j + blockValues / 2) << 4));
}

function decodeBlock8(view: DataView, offset: number, values: Float32Array, start: number): void {
  const scale = decodeHalf(view.getUint16(offset, true));
  for (let i = 0; i < blockValues; i++) values[start + i] = scale * view.getInt8(offset + 2 + i);
}

function decodeBlock4(view: DataView, offset: number, values: Float32Array, start: number): void {
  const scale = decodeHalf(view.getUint16(offset, true));
  for (let j = 0; j < blockValues / 2; j++) {
    const byte = view.getUint8(offset + 2 + j);
    values[start + j] = scale * ((byte & 15) - 8);
    values[start + j + blockValues / 2] = scale * ((byte >>> 4) - 8);
  }
}

/** 0 for a block of zeros, and for values so small that the inverse would overflow; their scale is stored as 0 either way. */
function inverseOf(scale: number): number {
  const inverse = Math.fround(1 / scale);
  return Number.isFinite(inverse) ? inverse : 0;
}

function toHalf(value: number): number {
  const half = encodeHalf(value);
  if ((half & infinity) !== infinity) return half;
  throw new RoundoffError(
    'numeric',
    `The value ${value} does not fit a 16-bit float (up to 65504).`,
    'Export the model in a format that keeps 32-bit floats, such as dequantized.',
  );
}

function checkWhole(type: GgufTensorType, values: number): void {
  if (values % ggufTensorTypes[type].blockValues !== 0) throw new Error(`${values} values are not whole blocks of ${type}`);
}
