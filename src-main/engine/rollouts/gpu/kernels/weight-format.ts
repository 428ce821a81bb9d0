/** How the engine holds weights, and WGSL that reads four of them at once from each form. */
import { nf4BlockSize, nf4Levels } from '../../../formats/nf4.ts';
import { groupCount, packedWords } from '../../../formats/packed-linear.ts';

/** Integer grids: a bit stream of whole words per row, scales [rows, groups], and zero points as floats where they are stored. */
export type WeightFormat =
  | { kind: 'float32' }
  | { kind: 'bfloat16' }
  | { kind: 'float16' }
  | { kind: 'integer'; bits: number; groupSize: number; symmetric: boolean; grouped: boolean }
  | { kind: 'nf4' };

/** What each buffer of a form holds, in the order of their bindings. */
export type WeightPart = 'weights' | 'scales' | 'zeros' | 'groupIndex';

export function weightParts(format: WeightFormat): WeightPart[] {
  if (format.kind === 'nf4') return ['weights', 'scales'];
  if (format.kind !== 'integer') return ['weights'];
  return ['weights', 'scales', ...(format.symmetric ? [] : ['zeros' as const]), ...(format.grouped ? ['groupIndex' as const] : [])];
}

/** 32-bit words per row of each part. */
export function partWords(format: WeightFormat, part: WeightPart, inFeatures: number): number {
  if (part === 'groupIndex') return inFeatures;
  if (format.kind === 'nf4') return part === 'weights' ? inFeatures / 8 : inFeatures / nf4BlockSize;
  if (format.kind === 'integer')
    return part === 'weights' ? packedWords(inFeatures, format.bits) : groupCount(inFeatures, format.groupSize);
  return format.kind === 'float32' ? inFeatures : inFeatures / 2;
}

/** Declarations from `binding` on and `fn weight4(row, unit) -> vec4<f32>`: weights 4 · unit … 4 · unit + 3 of a row. */
export function weightReader(format: WeightFormat, inFeatures: number, binding: number): string {
  const declare = (index: number, name: string, type: string) =>
    `@group(0) @binding(${binding + index}) var<storage, read> ${name} : array<${type}>;`;
  const parts = weightParts(format);
  const units = inFeatures / 4;
  switch (format.kind) {
    case 'float32':
      return `${declare(0, 'weights', 'vec4<f32>')}
fn weight4(row : u32, unit : u32) -> vec4<f32> { return weights[row * ${units}u + unit]; }`;
    case 'bfloat16':
      return `${declare(0, 'weights', 'vec2<u32>')}
fn weight4(row : u32, unit : u32) -> vec4<f32> {
  let p = weights[row * ${units}u + unit];
  return bitcast<vec4<f32>>(vec4<u32>(p.x << 16u, p.x & 0xffff0000u, p.y << 16u, p.y & 0xffff0000u));
}`;
    case 'float16':
      return `${declare(0, 'weights', 'vec2<u32>')}
fn weight4(row : u32, unit : u32) -> vec4<f32> {
  let p = weights[row * ${units}u + unit];
  return vec4<f32>(unpack2x16float(p.x), unpack2x16float(p.y));
}`;
    case 'nf4':
      return `${declare(0, 'weights', 'u32')}
${declare(1, 'scales', 'f32')}
const levels = array<f32, 16>(${[...nf4Levels].map(literal).join(', ')});
fn weight4(row : u32, unit : u32) -> vec4<f32> {
  let codes = weights[row * ${inFeatures / 8}u + unit / 2u] >> (16u * (unit & 1u));
  var table = levels;
  return scales[row * ${inFeatures / nf4BlockSize}u + unit / ${nf4BlockSize / 4}u]
    * vec4<f32>(table[codes & 15u], table[(codes >> 4u) & 15u], table[(codes >> 8u) & 15u], table[(codes >> 12u) & 15u]);
}`;
    case 'integer': {
      const types = { weights: 'u32', scales: 'f32', zeros: 'f32', groupIndex: 'u32' };
      return `${parts.map((part, index) => declare(index, part, types[part])).join('\n')}
${integerReader(format, inFeatures)}`;
    }
  }
}

function integerReader(format: WeightFormat & { kind: 'integer' }, inFeatures: number): string {
  const { bits, groupSize, symmetric, grouped } = format;
  const words = packedWords(inFeatures, bits);
  const groups = groupCount(inFeatures, groupSize);
  const mask = 2 ** bits - 1;
  // Four codes take 4 · bits bits; for widths that do not divide 8 they may cross into the next word.
  const straddles = 32 % (4 * bits) !== 0;
  const next = straddles ? `if (shift + ${4 * bits}u > 32u) { field |= weights[place + 1u] << (32u - shift); }` : '';
  const codes = [0, 1, 2, 3].map((i) => `f32((field >> ${i * bits}u) & ${mask}u)`).join(', ');
  const zero = (group: string) => (symmetric ? `${2 ** (bits - 1)}.0` : `zeros[${group}]`);
  const common = groupSize % 4 === 0 && !grouped;
  const groupOf = (column: string) => `row * ${groups}u + ${grouped ? `groupIndex[${column}]` : `(${column}) / ${groupSize}u`}`;
  const each = [0, 1, 2, 3].map((i) => `let g${i} = ${groupOf(`4u * unit + ${i}u`)};`).join('\n  ');
  const separate = `${each}
  return vec4<f32>(scales[g0], scales[g1], scales[g2], scales[g3])
    * (codes - vec4<f32>(${[0, 1, 2, 3].map((i) => zero(`g${i}`)).join(', ')}));`;
  const shared = `let group = ${groupOf('4u * unit')};
  return scales[group] * (codes - vec4<f32>(${zero('group')}));`;
  return `fn weight4(row : u32, unit : u32) -> vec4<f32> {
  let bit = unit * ${4 * bits}u;
  let place = row * ${words}u + bit / 32u;
  let shift = bit % 32u;
  var field = weights[place] >> shift;
  ${next}
  let codes = vec4<f32>(${codes});
  ${common ? shared : separate}
}`;
}

function literal(value: number): string {
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}
