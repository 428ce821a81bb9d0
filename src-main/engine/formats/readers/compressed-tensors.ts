/**
 * Reads compressed-tensors checkpoints of format "pack-quantized" with integer weights (llm-compressor, and Roundoff's own export): several
 * schemes in one model, per channel or per group, symmetric or not, activations in float. Since version 0.18 codes of 3, 5, 6 and 7 bits run
 * across words; earlier ones left the bits of a word that hold no whole code unused. The shape tells which.
 */
import { isJsonObject, type JsonObject } from '../../data/json-file.ts';
import { groupCount, type PackedLinear, packedWords, unpackCodes } from '../packed-linear.ts';
import { transpose, unpackWholeCodes, wholeCodeWords } from '../packing.ts';
import type { ProblemList } from '../problems.ts';
import { type ExpectedTensor, type ForeignScheme, floatTypes } from '../quantized-layout.ts';
import { type ForeignReader, groupIndexOf, integerLinear, quantizedModules, refuseSetting } from './foreign.ts';

interface Weights {
  bits: PackedLinear['bits'];
  symmetric: boolean;
  /** −1 is one scale per row. */
  groupSize: number;
}

export const readCompressedTensorsConfig: ForeignReader = (context) => {
  const { section, checkpoint, problems } = context;
  const { format, quantization_status: status = 'compressed', kv_cache_scheme: keyValues, sparsity_config: sparsity } = section;
  const before = problems.items.length;
  if (format !== 'pack-quantized') refuseSetting(problems, 'format', format, '"pack-quantized"');
  if (status !== 'compressed') refuseSetting(problems, 'quantization_status', status, '"compressed"');
  if (isJsonObject(keyValues)) refuseSetting(problems, 'kv_cache_scheme', keyValues, 'float keys and values');
  if (isJsonObject(sparsity) && (sparsity.format ?? 'dense') !== 'dense')
    refuseSetting(problems, 'sparsity_config', sparsity, 'dense weights');
  if (problems.items.length > before) return new Map();
  const targets = readTargets(section, problems);
  const schemes = new Map<string, ForeignScheme>();
  for (const module of quantizedModules(context, 'weight_packed')) {
    const weights = matchTarget(targets, module);
    const has = (name: string) => checkpoint.has(`${module}.${name}`);
    const wordsPerRow = checkpoint.entry(`${module}.weight_packed`).shape[1] ?? 0;
    if (weights) schemes.set(module, packedScheme(weights, has('weight_g_idx'), wordsPerRow));
    else problems.error(`config.json, quantization_config.config_groups`, `no group targets ${module}.`, 'Restore config.json.');
  }
  return schemes;
};

function readTargets(section: JsonObject, problems: ProblemList): { target: string; weights: Weights }[] {
  const groups = isJsonObject(section.config_groups) ? section.config_groups : {};
  const list: { target: string; weights: Weights }[] = [];
  for (const [name, group] of Object.entries(groups)) {
    const weights = isJsonObject(group) ? readWeights(group, `config_groups.${name}`, problems) : null;
    const targets = isJsonObject(group) && Array.isArray(group.targets) ? group.targets : [];
    for (const target of targets) if (weights && typeof target === 'string') list.push({ target, weights });
  }
  return list;
}

function readWeights(group: JsonObject, place: string, problems: ProblemList): Weights | null {
  const before = problems.items.length;
  for (const key of ['input_activations', 'output_activations'])
    if (isJsonObject(group[key])) refuseSetting(problems, `${place}.${key}`, group[key], 'float activations');
  const weights = isJsonObject(group.weights) ? group.weights : {};
  const { num_bits: bits, type = 'int', strategy, group_size: size, symmetric = true, dynamic = false } = weights;
  const isGroup = strategy === 'group' && typeof size === 'number' && Number.isSafeInteger(size) && size > 0;
  if (typeof bits !== 'number' || !Number.isInteger(bits) || bits < 2 || bits > 8)
    refuseSetting(problems, `${place}.weights.num_bits`, bits, '2 to 8');
  if (type !== 'int') refuseSetting(problems, `${place}.weights.type`, type, '"int"');
  if (!isGroup && strategy !== 'channel')
    refuseSetting(problems, `${place}.weights.strategy`, strategy, '"channel" and "group" with a size');
  if (dynamic !== false) refuseSetting(problems, `${place}.weights.dynamic`, dynamic, 'false');
  if (problems.items.length > before) return null;
  return { bits: bits as PackedLinear['bits'], symmetric: symmetric === true, groupSize: isGroup ? size : -1 };
}

/** As compressed-tensors matches: the name itself first, then patterns, then the class. */
function matchTarget(targets: readonly { target: string; weights: Weights }[], module: string): Weights | null {
  const isPattern = ({ target }: { target: string }) => target.startsWith('re:') && patternMatches(target.slice(3), module);
  const found =
    targets.find(({ target }) => target === module) ?? targets.find(isPattern) ?? targets.find(({ target }) => target === 'Linear');
  return found?.weights ?? null;
}

function patternMatches(pattern: string, module: string): boolean {
  try {
    return new RegExp(`^(?:${pattern})`).test(module);
  } catch {
    return false;
  }
}

interface Packing {
  words(columns: number, bits: number): number;
  unpack(words: Int32Array, rows: number, columns: number, bits: number): Uint8Array;
}
const dense: Packing = { words: packedWords, unpack: unpackCodes };
const padded: Packing = { words: wholeCodeWords, unpack: unpackWholeCodes };

function packedScheme({ bits, symmetric, groupSize: size }: Weights, hasGroupIndex: boolean, wordsPerRow: number): ForeignScheme {
  const sizeOf = (inFeatures: number) => (size === -1 ? inFeatures : size);
  const packingFor = (inFeatures: number) => {
    const isPadded = wordsPerRow === padded.words(inFeatures, bits) && wordsPerRow !== dense.words(inFeatures, bits);
    return isPadded ? padded : dense;
  };
  return {
    coding: 'foreign',
    form: { coding: 'integer', bits, symmetric, groupSize: size, hasGroupIndex, scaleType: 'float16' },
    tensors(module, [outFeatures, inFeatures]) {
      const groups = groupCount(inFeatures, sizeOf(inFeatures));
      const { words } = packingFor(inFeatures);
      const tensors = new Map<string, ExpectedTensor>([
        [`${module}.weight_packed`, { shape: [outFeatures, words(inFeatures, bits)], dtypes: ['I32'] }],
        [`${module}.weight_scale`, { shape: [outFeatures, groups], dtypes: floatTypes }],
        [`${module}.weight_shape`, { shape: [2], dtypes: ['I64', 'I32'] }],
      ]);
      if (!symmetric) tensors.set(`${module}.weight_zero_point`, { shape: [words(outFeatures, bits), groups], dtypes: ['I32'] });
      if (hasGroupIndex) tensors.set(`${module}.weight_g_idx`, { shape: [inFeatures], dtypes: ['I32'] });
      return tensors;
    },
    async read(checkpoint, module, [outFeatures, inFeatures], problems) {
      const groupSize = sizeOf(inFeatures);
      const groups = groupCount(inFeatures, groupSize);
      const packing = packingFor(inFeatures);
      const codes = packing.unpack(await checkpoint.readInts(`${module}.weight_packed`), outFeatures, inFeatures, bits);
      const scales = await checkpoint.readFloats(`${module}.weight_scale`);
      const zeros = symmetric
        ? new Uint8Array(outFeatures * groups).fill(2 ** (bits - 1))
        : readZeros(await checkpoint.readInts(`${module}.weight_zero_point`), { outFeatures, groups, bits }, packing);
      const index = hasGroupIndex ? await checkpoint.readInts(`${module}.weight_g_idx`) : null;
      const groupIndex = index && groupIndexOf(index, { inFeatures, groupSize }, `${module}.weight_g_idx`, problems);
      const linear = { bits, symmetric, outFeatures, inFeatures, groupSize, codes, scales, zeros, groupIndex };
      return integerLinear(linear, { name: `${module}.weight_scale`, dtype: checkpoint.entry(`${module}.weight_scale`).dtype }, problems);
    },
  };
}

/** Zero points are packed along outputs: [words, groups] → [out, groups]. */
function readZeros(
  stored: Int32Array,
  { outFeatures, groups, bits }: { outFeatures: number; groups: number; bits: number },
  packing: Packing,
): Uint8Array {
  const columns = transpose(stored, packing.words(outFeatures, bits), groups);
  return transpose(packing.unpack(columns, groups, outFeatures, bits), groups, outFeatures);
}
