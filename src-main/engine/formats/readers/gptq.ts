/**
 * Reads GPTQ checkpoints (AutoGPTQ, GPTQModel, and Roundoff's own export) of 2, 3, 4 and 8 bits. Format "gptq" stores each zero point less
 * one, "gptq_v2" as it is. A version 1 field of all ones would stand for 2^bits; writers leave it where 0 underflowed, and loaders
 * disagree on it, so it is refused.
 */
import { isJsonObject } from '../../data/json-file.ts';
import { groupCount, packedWords, unpackCodes } from '../packed-linear.ts';
import { transpose, unpackGptq } from '../packing.ts';
import { type ExpectedTensor, type ForeignScheme, floatTypes, type StoredIntegerScheme } from '../quantized-layout.ts';
import { type ForeignReader, groupIndexOf, integerLinear, quantizedModules, readGroupSize, refuseSetting } from './foreign.ts';

const integers = ['I32'] as const;

export const readGptqConfig: ForeignReader = (context) => {
  const { section, checkpoint, problems } = context;
  const { bits, sym = true, checkpoint_format: version = section.format ?? 'gptq', dynamic } = section;
  const groupSize = readGroupSize(section.group_size, problems);
  const before = problems.items.length;
  if (![2, 3, 4, 8].includes(bits as number)) refuseSetting(problems, 'bits', bits, '2, 3, 4 and 8');
  if (version !== 'gptq' && version !== 'gptq_v2') refuseSetting(problems, 'checkpoint_format', version, '"gptq" and "gptq_v2"');
  if (isJsonObject(dynamic) && Object.keys(dynamic).some((rule) => !rule.startsWith('-:')))
    refuseSetting(problems, 'dynamic', dynamic, 'one scheme for all quantized modules');
  const modules = quantizedModules(context, 'qweight');
  if (groupSize === null || problems.items.length > before) return new Map();
  return new Map(
    modules.map((module) => {
      const hasGroupIndex = checkpoint.has(`${module}.g_idx`);
      return [module, gptqScheme({ bits: bits as 2 | 3 | 4 | 8, symmetric: sym === true, groupSize, hasGroupIndex }, version as string)];
    }),
  );
};

type GptqForm = Pick<StoredIntegerScheme, 'bits' | 'symmetric' | 'groupSize' | 'hasGroupIndex'>;

function gptqScheme(form: GptqForm, version: string): ForeignScheme {
  const { bits, symmetric, hasGroupIndex } = form;
  const sizeOf = (inFeatures: number) => (form.groupSize === -1 ? inFeatures : form.groupSize);
  return {
    coding: 'foreign',
    form: { ...form, coding: 'integer', scaleType: 'float16' },
    tensors(module, [outFeatures, inFeatures]) {
      const groups = groupCount(inFeatures, sizeOf(inFeatures));
      const tensors = new Map<string, ExpectedTensor>([
        [`${module}.qweight`, { shape: [packedWords(inFeatures, bits), outFeatures], dtypes: integers }],
        [`${module}.qzeros`, { shape: [groups, packedWords(outFeatures, bits)], dtypes: integers }],
        [`${module}.scales`, { shape: [groups, outFeatures], dtypes: floatTypes }],
      ]);
      if (hasGroupIndex) tensors.set(`${module}.g_idx`, { shape: [inFeatures], dtypes: integers });
      return tensors;
    },
    async read(checkpoint, module, [outFeatures, inFeatures], problems) {
      const groupSize = sizeOf(inFeatures);
      const groups = groupCount(inFeatures, groupSize);
      const codes = unpackGptq(await checkpoint.readInts(`${module}.qweight`), outFeatures, inFeatures, bits);
      const stored = unpackCodes(await checkpoint.readInts(`${module}.qzeros`), groups, outFeatures, bits);
      if (version === 'gptq' && stored.includes(2 ** bits - 1)) {
        problems.error(`${module}.qzeros`, 'a zero point of 0 cannot be stored in format "gptq".', 'Convert the checkpoint to "gptq_v2".');
        return null;
      }
      const zeros = transpose(version === 'gptq' ? stored.map((zero) => zero + 1) : stored, groups, outFeatures);
      const scales = transpose(await checkpoint.readFloats(`${module}.scales`), groups, outFeatures);
      const index = hasGroupIndex ? await checkpoint.readInts(`${module}.g_idx`) : null;
      const groupIndex = index && groupIndexOf(index, { inFeatures, groupSize }, `${module}.g_idx`, problems);
      const isSymmetric = symmetric && zeros.every((zero) => zero === 2 ** (bits - 1));
      const linear = { bits, symmetric: isSymmetric, outFeatures, inFeatures, groupSize, codes, scales, zeros, groupIndex };
      return integerLinear(linear, { name: `${module}.scales`, dtype: checkpoint.entry(`${module}.scales`).dtype }, problems);
    },
  };
}
