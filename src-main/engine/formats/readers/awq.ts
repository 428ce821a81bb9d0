/** Reads AWQ checkpoints of version "gemm" (AutoAWQ, and Roundoff's own export): 4 bits, groups of consecutive inputs, zero points as they are. */
import { groupCount } from '../packed-linear.ts';
import { transpose, unpackAwq } from '../packing.ts';
import { type ForeignScheme, floatTypes } from '../quantized-layout.ts';
import { type ForeignReader, integerLinear, quantizedModules, readGroupSize, refuseSetting } from './foreign.ts';

export const readAwqConfig: ForeignReader = (context) => {
  const { section, problems } = context;
  const { bits = section.w_bit, version = 'gemm', backend = 'autoawq' } = section;
  const groupSize = readGroupSize(section.group_size ?? section.q_group_size, problems);
  const before = problems.items.length;
  if (bits !== 4) refuseSetting(problems, 'bits', bits, '4');
  if (typeof version !== 'string' || version.toLowerCase() !== 'gemm') refuseSetting(problems, 'version', version, '"gemm"');
  if (backend === 'llm-awq') refuseSetting(problems, 'backend', backend, '"autoawq"');
  const modules = quantizedModules(context, 'qweight');
  if (groupSize === null || problems.items.length > before) return new Map();
  return new Map(modules.map((module) => [module, awqScheme(groupSize)]));
};

function awqScheme(size: number): ForeignScheme {
  const sizeOf = (inFeatures: number) => (size === -1 ? inFeatures : size);
  return {
    coding: 'foreign',
    form: { coding: 'integer', bits: 4, symmetric: false, groupSize: size, hasGroupIndex: false, scaleType: 'float16' },
    tensors(module, [outFeatures, inFeatures]) {
      const groups = groupCount(inFeatures, sizeOf(inFeatures));
      return new Map([
        [`${module}.qweight`, { shape: [inFeatures, Math.ceil(outFeatures / 8)], dtypes: ['I32'] as const }],
        [`${module}.qzeros`, { shape: [groups, Math.ceil(outFeatures / 8)], dtypes: ['I32'] as const }],
        [`${module}.scales`, { shape: [groups, outFeatures], dtypes: floatTypes }],
      ]);
    },
    async read(checkpoint, module, [outFeatures, inFeatures], problems) {
      const groupSize = sizeOf(inFeatures);
      const groups = groupCount(inFeatures, groupSize);
      const codes = transpose(unpackAwq(await checkpoint.readInts(`${module}.qweight`), inFeatures, outFeatures), inFeatures, outFeatures);
      const zeros = transpose(unpackAwq(await checkpoint.readInts(`${module}.qzeros`), groups, outFeatures), groups, outFeatures);
      const scales = transpose(await checkpoint.readFloats(`${module}.scales`), groups, outFeatures);
      const symmetric = zeros.every((zero) => zero === 8);
      const linear = { bits: 4 as const, symmetric, outFeatures, inFeatures, groupSize, codes, scales, zeros, groupIndex: null };
      return integerLinear(linear, { name: `${module}.scales`, dtype: checkpoint.entry(`${module}.scales`).dtype }, problems);
    },
  };
}
