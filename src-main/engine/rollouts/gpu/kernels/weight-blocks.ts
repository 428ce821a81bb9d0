/**
 * WGSL that reads a block of consecutive weights of a row at once, in whole words side by side with the blocks of neighbouring threads. Codes are
 * read as the low bits of a float's mantissa, so that none is converted; a block's scale is left to whoever sums it up.
 */
import { nf4BlockSize, nf4Levels } from '../../../formats/nf4.ts';
import { groupCount, packedWords } from '../../../formats/packed-linear.ts';
import { type WeightFormat, weightParts, weightReader } from './weight-format.ts';

export interface WeightBlocks {
  /** Weights per block, a multiple of four that divides the row. */
  columns: number;
  /** Of the weights' buffers and what else the reader needs. */
  declarations: string;
  /** Statements for the start of `main`, before a barrier; empty where none is needed. */
  start: string;
  /** Statements that read a block of a row as values whose names begin with `name`. */
  load(name: string, row: string, block: string): string;
  /** Weights 4 · unit … 4 · unit + 3 of a block that was read, to be multiplied by `scale`. */
  four(name: string, unit: number): string;
  /** Null where the weights are whole. */
  scale(name: string): string | null;
}

/** @param binding of the first of the weights' buffers */
export function weightBlocks(format: WeightFormat, inFeatures: number, binding: number): WeightBlocks {
  if (format.kind === 'nf4') return nf4Blocks(inFeatures, binding);
  if (format.kind === 'integer') return integerBlocks(format, inFeatures, binding) ?? singleUnits(format, inFeatures, binding);
  if (format.kind === 'float32' || inFeatures % 8 !== 0) return singleUnits(format, inFeatures, binding);
  return halfBlocks(format.kind, inFeatures, binding);
}

function declare(binding: number, name: string, type: string): string {
  return `@group(0) @binding(${binding}) var<storage, read> ${name} : array<${type}>;`;
}

/** Blocks of four, of any form. */
function singleUnits(format: WeightFormat, inFeatures: number, binding: number): WeightBlocks {
  return {
    columns: 4,
    declarations: weightReader(format, inFeatures, binding),
    start: '',
    load: (name, row, block) => `let ${name} = weight4(${row}, ${block});`,
    four: (name) => name,
    scale: () => null,
  };
}

function halfBlocks(kind: 'bfloat16' | 'float16', inFeatures: number, binding: number): WeightBlocks {
  const bfloats = (a: string, b: string) =>
    `bitcast<vec4<f32>>(vec4<u32>(${a} << 16u, ${a} & 0xffff0000u, ${b} << 16u, ${b} & 0xffff0000u))`;
  const halves = (a: string, b: string) => `vec4<f32>(unpack2x16float(${a}), unpack2x16float(${b}))`;
  return {
    columns: 8,
    declarations: declare(binding, 'weights', 'vec4<u32>'),
    start: '',
    load: (name, row, block) => `let ${name} = weights[${row} * ${inFeatures / 8}u + ${block}];`,
    four: (name, unit) => {
      const [a, b] = unit === 0 ? [`${name}.x`, `${name}.y`] : [`${name}.z`, `${name}.w`];
      return kind === 'bfloat16' ? bfloats(a, b) : halves(a, b);
    },
    scale: () => null,
  };
}

function nf4Blocks(inFeatures: number, binding: number): WeightBlocks {
  const level = (name: string, shift: number) => `levels[(${name} >> ${shift}u) & 15u]`;
  return {
    columns: 8,
    declarations: `${declare(binding, 'weights', 'u32')}
${declare(binding + 1, 'scales', 'f32')}
const levelTable = array<f32, 16>(${[...nf4Levels].map((value) => (Number.isInteger(value) ? value.toFixed(1) : value)).join(', ')});
var<workgroup> levels : array<f32, 16>;`,
    start: 'if (t < 16u) { var table = levelTable; levels[t] = table[t]; }',
    load: (name, row, block) => `let ${name} = weights[${row} * ${inFeatures / 8}u + ${block}];
    let ${name}Scale = scales[${row} * ${inFeatures / nf4BlockSize}u + ${block} / ${nf4BlockSize / 8}u];`,
    four: (name, unit) => `vec4<f32>(${[0, 1, 2, 3].map((i) => level(name, 16 * unit + 4 * i)).join(', ')})`,
    scale: (name) => `${name}Scale`,
  };
}

/** Null where blocks of whole words do not lie within one group. */
function integerBlocks(format: WeightFormat & { kind: 'integer' }, inFeatures: number, binding: number): WeightBlocks | null {
  const { bits, groupSize, symmetric, grouped } = format;
  const columns = [8, 16, 32].find((size) => (size * bits) % 32 === 0)!;
  if (grouped || inFeatures % columns !== 0 || groupSize % columns !== 0) return null;
  const words = (columns * bits) / 32;
  const isPair = words === 2;
  const groups = groupCount(inFeatures, groupSize);
  const rowBlocks = packedWords(inFeatures, bits) / words;
  const wordsOf = (name: string, place: string) =>
    Array.from({ length: words }, (_, i) => `let ${name}_${i} = weights[${words}u * (${place}) + ${i}u];`).join(' ');
  const types = { weights: isPair ? 'vec2<u32>' : 'u32', scales: 'f32', zeros: 'f32', groupIndex: 'u32' };
  const word = (name: string, index: number) => {
    if (words === 1) return name;
    return isPair ? `${name}.${'xy'[index]}` : `${name}_${index}`;
  };
  return {
    columns,
    declarations: weightParts(format)
      .map((part, index) => declare(binding + index, part, types[part]))
      .join('\n'),
    start: '',
    load: (name, row, block) => {
      const place = `${row} * ${rowBlocks}u + ${block}`;
      const group = `${row} * ${groups}u + ${block} / ${groupSize / columns}u`;
      return `${words <= 2 ? `let ${name} = weights[${place}];` : wordsOf(name, place)}
    let ${name}Scale = scales[${group}];
    ${symmetric ? '' : `let ${name}Zero = zeros[${group}];`}`;
    },
    four: (name, unit) => {
      const first = 4 * bits * unit;
      const [index, shift] = [Math.floor(first / 32), first % 32];
      const low = shift === 0 ? word(name, index) : `(${word(name, index)} >> ${shift}u)`;
      const field = shift + 4 * bits > 32 ? `(${low} | (${word(name, index + 1)} << ${32 - shift}u))` : low;
      return codes(field, bits, symmetric ? `${2 ** (bits - 1)}.0` : `${name}Zero`);
    },
    scale: (name) => `${name}Scale`,
  };
}

/** Four codes of a field less their zero point. Beside the exponent of 2²³ a code that lies at bit s of the mantissa counts 2ˢ. */
function codes(field: string, bits: number, zero: string): string {
  const highest = 2 ** 23;
  // Where four codes reach beyond the mantissa, the field is shifted down for the last two.
  const isShort = 4 * bits <= 23;
  const shifts = isShort ? [0, bits, 2 * bits, 3 * bits] : [0, bits, 0, bits];
  const fields = isShort ? `vec4<u32>(${field})` : `vec4<u32>(vec2<u32>(${field}), vec2<u32>(${field} >> ${2 * bits}u))`;
  const masks = shifts.map((shift) => `${(2 ** bits - 1) * 2 ** shift}u`).join(', ');
  const units = shifts
    .map((shift) => String(2 ** -shift))
    .map((value) => (value.includes('.') || value.includes('e') ? value : `${value}.0`));
  const offsets = shifts.map((shift) => `${-highest / 2 ** shift}.0`).join(', ');
  const value = `bitcast<vec4<f32>>((${fields} & vec4<u32>(${masks})) | vec4<u32>(0x4b000000u))`;
  return `fma(${value}, vec4<f32>(${units.join(', ')}), vec4<f32>(${offsets}) - ${zero})`;
}
