/**
 * How quantized linears lie in a `roundoff` checkpoint: the `quantization_config` of config.json names every quantized module with its
 * scheme, and each module has `M.codes` (I32 bit stream), `M.scales` (F16), `M.zeros` (I32 bit stream, asymmetric only) and
 * `M.group_index` (I32, only when groups are not consecutive).
 */
import { isJsonObject, type JsonObject } from '../data/json-file.ts';
import { groupCount, type PackedLinear, packCodes, packedWords, unpackCodes } from './packed-linear.ts';
import type { ProblemList } from './problems.ts';
import type { Checkpoint, TensorToWrite } from './safetensors.ts';

/** The scheme one module is stored in. */
export interface StoredScheme {
  bits: PackedLinear['bits'];
  symmetric: boolean;
  groupSize: number;
  hasGroupIndex: boolean;
}

const configPlace = 'config.json, quantization_config';
const restore = 'Quantize the model again, or restore the checkpoint from its source.';

export function quantizationConfig(quantized: ReadonlyMap<string, PackedLinear>): JsonObject {
  const modules: JsonObject = {};
  for (const [module, packed] of quantized) {
    const { bits, symmetric, groupSize, groupIndex } = packed;
    modules[module] = { bits, symmetric, group_size: groupSize, group_index: groupIndex !== null };
  }
  return { quant_method: 'roundoff', format_version: 1, modules };
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
  if (section.format_version !== 1) {
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
  const { bits, symmetric, group_size: groupSize, group_index: hasGroupIndex } = value;
  const isBits = typeof bits === 'number' && Number.isInteger(bits) && bits >= 2 && bits <= 8;
  if (!isBits || typeof symmetric !== 'boolean' || typeof hasGroupIndex !== 'boolean') return null;
  if (typeof groupSize !== 'number' || !Number.isSafeInteger(groupSize) || groupSize < 1) return null;
  return { bits: bits as StoredScheme['bits'], symmetric, groupSize, hasGroupIndex };
}

/** The tensors that store one quantized module. */
export function packedTensors(module: string, packed: PackedLinear): TensorToWrite[] {
  const { bits, outFeatures, inFeatures, groupSize, codes, scales, zeros, groupIndex, symmetric } = packed;
  const groups = groupCount(inFeatures, groupSize);
  const tensors: TensorToWrite[] = [
    {
      name: `${module}.codes`,
      dtype: 'I32',
      shape: [outFeatures, packedWords(inFeatures, bits)],
      values: () => packCodes(codes, outFeatures, inFeatures, bits),
    },
    { name: `${module}.scales`, dtype: 'F16', shape: [outFeatures, groups], values: scales },
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

/** Names and shapes of a stored module's tensors. */
export function packedShapes(module: string, [outFeatures, inFeatures]: [number, number], scheme: StoredScheme): Map<string, number[]> {
  const groups = groupCount(inFeatures, scheme.groupSize);
  const shapes = new Map([
    [`${module}.codes`, [outFeatures, packedWords(inFeatures, scheme.bits)]],
    [`${module}.scales`, [outFeatures, groups]],
  ]);
  if (!scheme.symmetric) shapes.set(`${module}.zeros`, [packedWords(outFeatures * groups, scheme.bits)]);
  if (scheme.hasGroupIndex) shapes.set(`${module}.group_index`, [inFeatures]);
  return shapes;
}

/** Reads one quantized module whose tensors have the shapes of `packedShapes`. Values that make no sense are reported; null then. */
export async function readPackedLinear(
  checkpoint: Checkpoint,
  module: string,
  [outFeatures, inFeatures]: [number, number],
  scheme: StoredScheme,
  problems: ProblemList,
): Promise<PackedLinear | null> {
  const { bits, symmetric, groupSize } = scheme;
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
  return { bits, symmetric, outFeatures, inFeatures, groupSize, codes, scales, zeros, groupIndex };
}
