/**
 * AWQ checkpoints of version "gemm" (AutoAWQ's layout): 4 bits, groups of consecutive inputs, zero points as they are, which for symmetric
 * grids is 8 everywhere. The model's type is float16, which AWQ kernels compute in.
 */
import type { ExportSource } from '../export-source.ts';
import { groupCount, type PackedLinear } from '../packed-linear.ts';
import { packAwq, transpose } from '../packing.ts';
import type { TensorToWrite } from '../safetensors.ts';
import { denseTensors, type Exporter, lazyTensors, writeModelFolder } from './exporter.ts';
import { commonGroupSize, floatLinears, schemeProblems, shortGroupProblems } from './limits.ts';

export const awqExporter: Exporter = {
  async problems(source) {
    const problems = [...schemeProblems(source, 'awq'), ...shortGroupProblems(source, 'awq')];
    return problems.length > 0 ? problems : valueProblems(source);
  },
  async write(source, dir, options) {
    const tensors = denseTensors(source);
    for (const module of source.modules)
      tensors.push(...(await lazyTensors(source, module, (linear) => awqTensors(module, linear as PackedLinear))));
    const section = {
      quant_method: 'awq',
      bits: 4,
      group_size: commonGroupSize(source)!,
      zero_point: true,
      version: 'gemm',
      modules_to_not_convert: ['lm_head', ...floatLinears(source)],
    };
    return writeModelFolder(
      source,
      dir,
      { tensors, changes: { dtype: 'float16', torch_dtype: 'float16', quantization_config: section } },
      options,
    );
  },
};

async function valueProblems(source: ExportSource): Promise<string[]> {
  const problems: string[] = [];
  for (const module of source.modules) {
    const { outFeatures, groupIndex, scaleType } = (await source.readStored(module)) as PackedLinear;
    if (outFeatures % 8 !== 0) problems.push(`${module}: ${outFeatures} outputs do not fill words of eight; choose "compressed-tensors"`);
    if (groupIndex)
      problems.push(`${module}: its groups are not consecutive (act-order without static groups), which awq cannot hold; choose "gptq"`);
    if (scaleType === 'float32') problems.push(`${module}: its scales are float32, and awq holds 16-bit ones; choose "dequantized"`);
  }
  return problems;
}

function awqTensors(module: string, { outFeatures, inFeatures, groupSize, codes, scales, zeros }: PackedLinear): TensorToWrite[] {
  const groups = groupCount(inFeatures, groupSize);
  return [
    {
      name: `${module}.qweight`,
      dtype: 'I32',
      shape: [inFeatures, outFeatures / 8],
      values: () => packAwq(transpose(codes, outFeatures, inFeatures), inFeatures, outFeatures),
    },
    {
      name: `${module}.qzeros`,
      dtype: 'I32',
      shape: [groups, outFeatures / 8],
      values: () => packAwq(transpose(zeros, outFeatures, groups), groups, outFeatures),
    },
    { name: `${module}.scales`, dtype: 'F16', shape: [groups, outFeatures], values: () => transpose(scales, outFeatures, groups) },
  ];
}
