/**
 * How quantized linears lie in a `roundoff` checkpoint. The `quantization_config` of config.json names every quantized module with its
 * scheme. On integer grids a module has `M.codes` (I32 bit stream), `M.scales` (F16 or F32), `M.zeros` (I32 bit stream, asymmetric only) and
 * `M.group_index` (I32, only when groups are not consecutive). NF4 has `M.codes`, and `M.absmax` (F32) or, doubly quantized, `M.absmax_codes`
 * (I32 bit stream), `M.nested_absmax` and `M.nested_offset` (F32). What is done to activations: see activation-layout.ts.
 */
import { isJsonObject, type JsonObject } from '../data/json-file.ts';
import type { LayerActivations } from '../model/layer-activations.ts';
import { activationsConfig } from './activation-layout.ts';
import { type Nf4Linear, nestedBlockSize, nf4BlockCount } from './nf4.ts';
import { restoreAbsmax } from './nf4-dynamic.ts';
import { groupCount, type PackedLinear, packCodes, packedWords, unpackCodes } from './packed-linear.ts';
import type { ProblemList } from './problems.ts';
import type { Checkpoint, TensorDtype, TensorToWrite } from './safetensors.ts';
import type { StoredLinear } from './stored-linear.ts';

/** The scheme one module is stored in. */
export type StoredScheme = StoredIntegerScheme | StoredNf4Scheme | ForeignScheme;

export interface StoredIntegerScheme {
  coding: 'integer';
  bits: PackedLinear['bits'];
  symmetric: boolean;
  groupSize: number;
  hasGroupIndex: boolean;
  scaleType: 'float16' | 'float32';
}

export interface StoredNf4Scheme {
  coding: 'nf4';
  isNested: boolean;
}

/** A module in another tool's format; see `readers`. */
export interface ForeignScheme {
  coding: 'foreign';
  /** What it reads as; a group size of −1 is one scale per row. */
  form: StoredIntegerScheme | StoredNf4Scheme;
  tensors(module: string, shape: [number, number]): Map<string, ExpectedTensor>;
  /** Reads the module, whose tensors have the expected shapes. Values that make no sense are reported; null then. */
  read(checkpoint: Checkpoint, module: string, shape: [number, number], problems: ProblemList): Promise<StoredLinear | null>;
}

/** A tensor a checkpoint must hold. */
export interface ExpectedTensor {
  shape: number[];
  dtypes: readonly TensorDtype[];
}

export const floatTypes = ['F32', 'F16', 'BF16'] as const satisfies TensorDtype[];

const configPlace = 'config.json, quantization_config';
const restore = 'Quantize the model again, or restore the checkpoint from its source.';
/** Version 1 had integer grids with binary16 scales only, and no activations. */
const formatVersions: readonly unknown[] = [1, 2];

/** The section of config.json that describes a checkpoint of these linears and layers. */
export function quantizationConfig(
  quantized: ReadonlyMap<string, StoredLinear>,
  activations: readonly (LayerActivations | null)[] = [],
): JsonObject {
  const modules: JsonObject = {};
  for (const [module, linear] of quantized) {
    if (linear.coding === 'nf4') modules[module] = { coding: 'nf4', double_quantization: linear.nested !== null };
    else {
      const { bits, symmetric, groupSize, groupIndex, scaleType } = linear;
      const scales = scaleType === 'float32' ? { scale_type: 'float32' } : {};
      modules[module] = { bits, symmetric, group_size: groupSize, group_index: groupIndex !== null, ...scales };
    }
  }
  const layers = activations.some((layer) => layer !== null) ? { layers: activations.map(activationsConfig) } : {};
  return { quant_method: 'roundoff', format_version: 2, modules, ...layers };
}

/** The quantized modules among `linears` of a packed checkpoint; empty for a dense one. Wrong fields are reported. */
export function parseQuantizationConfig(
  config: JsonObject,
  linears: ReadonlySet<string>,
  problems: ProblemList,
): Map<string, StoredScheme> {
  const schemes = new Map<string, StoredScheme>();
  const section = config.quantization_config;
  if (!isJsonObject(section) || section.quant_method !== 'roundoff') return schemes;
  if (!formatVersions.includes(section.format_version)) {
    problems.error(
      configPlace,
      `format version ${JSON.stringify(section.format_version)} is unknown.`,
      'Update Roundoff to read this checkpoint.',
      'unsupported',
    );
    return schemes;
  }
  const modules = isJsonObject(section.modules) ? section.modules : {};
  for (const [module, value] of Object.entries(modules)) {
    const scheme = parseStoredScheme(value);
    if (!linears.has(module)) problems.error(`${configPlace}, ${module}`, 'it is not a decoder linear of this model.', restore);
    else if (scheme) schemes.set(module, scheme);
    else problems.error(`${configPlace}, ${module}`, `${JSON.stringify(value)} is not a scheme.`, restore);
  }
  if (Object.keys(modules).length === 0) problems.error(configPlace, 'it names no quantized module.', restore);
  return schemes;
}

function parseStoredScheme(value: unknown): StoredScheme | null {
  if (!isJsonObject(value)) return null;
  if (value.coding === 'nf4')
    return typeof value.double_quantization === 'boolean' ? { coding: 'nf4', isNested: value.double_quantization } : null;
  const { bits, symmetric, group_size: groupSize, group_index: hasGroupIndex, scale_type: scaleType = 'float16' } = value;
  const isBits = typeof bits === 'number' && Number.isInteger(bits) && bits >= 2 && bits <= 8;
  if (!isBits || typeof symmetric !== 'boolean' || typeof hasGroupIndex !== 'boolean') return null;
  if (typeof groupSize !== 'number' || !Number.isSafeInteger(groupSize) || groupSize < 1) return null;
  if (scaleType !== 'float16' && scaleType !== 'float32') return null;
  return { coding: 'integer', bits: bits as PackedLinear['bits'], symmetric, groupSize, hasGroupIndex, scaleType };
}

/** The tensors that store one quantized module. */
export function packedTensors(module: string, linear: StoredLinear): TensorToWrite[] {
  return linear.coding === 'nf4' ? nf4Tensors(module, linear) : integerTensors(module, linear);
}

function integerTensors(module: string, packed: PackedLinear): TensorToWrite[] {
  const { bits, outFeatures, inFeatures, groupSize, codes, scales, zeros, groupIndex, symmetric, scaleType } = packed;
  const groups = groupCount(inFeatures, groupSize);
  const tensors: TensorToWrite[] = [
    {
      name: `${module}.codes`,
      dtype: 'I32',
      shape: [outFeatures, packedWords(inFeatures, bits)],
      values: () => packCodes(codes, outFeatures, inFeatures, bits),
    },
    { name: `${module}.scales`, dtype: scaleType === 'float32' ? 'F32' : 'F16', shape: [outFeatures, groups], values: scales },
  ];
  const zeroCount = outFeatures * groups;
  if (!symmetric)
    tensors.push({
      name: `${module}.zeros`,
      dtype: 'I32',
      shape: [packedWords(zeroCount, bits)],
      values: () => packCodes(zeros, 1, zeroCount, bits),
    });
  if (groupIndex) tensors.push({ name: `${module}.group_index`, dtype: 'I32', shape: [inFeatures], values: groupIndex });
  return tensors;
}

function nf4Tensors(module: string, { outFeatures, inFeatures, codes, absmax, nested }: Nf4Linear): TensorToWrite[] {
  const count = outFeatures * inFeatures;
  const blocks = nf4BlockCount(outFeatures, inFeatures);
  const tensor = (name: string, dtype: 'I32' | 'F32', shape: number[], values: TensorToWrite['values']): TensorToWrite => {
    return { name: `${module}.${name}`, dtype, shape, values };
  };
  const stored = tensor('codes', 'I32', [packedWords(count, 4)], () => packCodes(codes, 1, count, 4));
  if (!nested) return [stored, tensor('absmax', 'F32', [blocks], absmax)];
  return [
    stored,
    tensor('absmax_codes', 'I32', [packedWords(blocks, 8)], () => packCodes(nested.codes, 1, blocks, 8)),
    tensor('nested_absmax', 'F32', [nested.absmax.length], nested.absmax),
    tensor('nested_offset', 'F32', [1], Float32Array.of(nested.offset)),
  ];
}

/** The tensors a stored module consists of, by name. */
export function packedShapes(module: string, shape: [number, number], scheme: StoredScheme): Map<string, ExpectedTensor> {
  if (scheme.coding === 'foreign') return scheme.tensors(module, shape);
  const [outFeatures, inFeatures] = shape;
  const tensors = new Map<string, ExpectedTensor>();
  const integers = (name: string, ...sizes: number[]) => tensors.set(`${module}.${name}`, { shape: sizes, dtypes: ['I32'] });
  const floats = (name: string, ...sizes: number[]) => tensors.set(`${module}.${name}`, { shape: sizes, dtypes: floatTypes });
  if (scheme.coding === 'nf4') {
    const blocks = nf4BlockCount(outFeatures, inFeatures);
    integers('codes', packedWords(outFeatures * inFeatures, 4));
    if (!scheme.isNested) return floats('absmax', blocks);
    integers('absmax_codes', packedWords(blocks, 8));
    floats('nested_absmax', Math.ceil(blocks / nestedBlockSize));
    return floats('nested_offset', 1);
  }
  const groups = groupCount(inFeatures, scheme.groupSize);
  integers('codes', outFeatures, packedWords(inFeatures, scheme.bits));
  floats('scales', outFeatures, groups);
  if (!scheme.symmetric) integers('zeros', packedWords(outFeatures * groups, scheme.bits));
  if (scheme.hasGroupIndex) integers('group_index', inFeatures);
  return tensors;
}

/** Reads one quantized module whose tensors have the shapes of `packedShapes`. Values that make no sense are reported; null then. */
export function readStoredLinear(
  checkpoint: Checkpoint,
  module: string,
  shape: [number, number],
  scheme: StoredScheme,
  problems: ProblemList,
): Promise<StoredLinear | null> {
  if (scheme.coding === 'foreign') return scheme.read(checkpoint, module, shape, problems);
  return scheme.coding === 'nf4'
    ? readNf4(checkpoint, module, shape, scheme, problems)
    : readInteger(checkpoint, module, shape, scheme, problems);
}

async function readInteger(
  checkpoint: Checkpoint,
  module: string,
  [outFeatures, inFeatures]: [number, number],
  scheme: StoredIntegerScheme,
  problems: ProblemList,
): Promise<PackedLinear | null> {
  const { bits, symmetric, groupSize, scaleType } = scheme;
  const groups = groupCount(inFeatures, groupSize);
  const codes = unpackCodes(await checkpoint.readInts(`${module}.codes`), outFeatures, inFeatures, bits);
  const scales = await checkpoint.readFloats(`${module}.scales`);
  const zeroCount = outFeatures * groups;
  const zeros = symmetric
    ? new Uint8Array(zeroCount).fill(2 ** (bits - 1))
    : unpackCodes(await checkpoint.readInts(`${module}.zeros`), 1, zeroCount, bits);
  const groupIndex = scheme.hasGroupIndex ? await checkpoint.readInts(`${module}.group_index`) : null;
  if (!scales.every((scale) => scale >= 0 && Number.isFinite(scale))) {
    problems.error(`${module}.scales`, 'a scale is negative or not a finite number.', restore);
    return null;
  }
  if (groupIndex && !groupIndex.every((group) => group >= 0 && group < groups)) {
    problems.error(`${module}.group_index`, `a group lies outside 0 … ${groups - 1}.`, restore);
    return null;
  }
  const linear: PackedLinear = { bits, symmetric, outFeatures, inFeatures, groupSize, codes, scales, zeros, groupIndex };
  return scaleType === 'float32' ? { ...linear, scaleType } : linear;
}

async function readNf4(
  checkpoint: Checkpoint,
  module: string,
  [outFeatures, inFeatures]: [number, number],
  { isNested }: StoredNf4Scheme,
  problems: ProblemList,
): Promise<Nf4Linear | null> {
  const count = outFeatures * inFeatures;
  const blocks = nf4BlockCount(outFeatures, inFeatures);
  const codes = unpackCodes(await checkpoint.readInts(`${module}.codes`), 1, count, 4);
  const nested = isNested
    ? {
        codes: unpackCodes(await checkpoint.readInts(`${module}.absmax_codes`), 1, blocks, 8),
        absmax: await checkpoint.readFloats(`${module}.nested_absmax`),
        offset: (await checkpoint.readFloats(`${module}.nested_offset`))[0]!,
      }
    : null;
  const absmax = nested
    ? restoreAbsmax(nested.codes, nested.absmax, nested.offset, nestedBlockSize)
    : await checkpoint.readFloats(`${module}.absmax`);
  if (!absmax.every((value) => Number.isFinite(value))) {
    problems.error(`${module}.absmax`, 'a block scale is not a finite number.', restore);
    return null;
  }
  return { coding: 'nf4', bits: 4, outFeatures, inFeatures, codes, absmax, nested };
}
