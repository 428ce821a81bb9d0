/**
 * GPTQ checkpoints, as AutoGPTQ and GPTQModel lay them out. Version 1 stores every zero point less one; a zero point of 0 does not fit: where
 * no code of its group is the largest one, codes and zero point both rise by one, which changes nothing, otherwise the export is refused.
 * Scales are binary16 as they were chosen. The model's type is float16, which GPTQ kernels compute in.
 */
import { join } from 'node:path';
import { writeWholeFile } from '../atomic-file.ts';
import type { ExportSource } from '../export-source.ts';
import { groupCount, type PackedLinear, packCodes, packedWords } from '../packed-linear.ts';
import { packGptq, transpose } from '../packing.ts';
import type { TensorToWrite } from '../safetensors.ts';
import { denseTensors, type Exporter, lazyTensors, writeModelFolder } from './exporter.ts';
import { commonGroupSize, schemeProblems } from './limits.ts';

export function gptqExporter(format: 'gptq' | 'gptq-v2'): Exporter {
  return {
    async problems(source) {
      const problems = schemeProblems(source, format);
      return problems.length > 0 ? problems : valueProblems(source, format);
    },
    async write(source, dir, options) {
      const tensors = denseTensors(source);
      let descAct = false;
      for (const module of source.modules) {
        descAct ||= (await readInteger(source, module)).groupIndex !== null;
        tensors.push(...(await lazyTensors(source, module, (linear) => gptqTensors(module, linear as PackedLinear, format))));
      }
      const section = await quantizeConfig(source, format, descAct);
      const changes = { dtype: 'float16', torch_dtype: 'float16', quantization_config: section };
      return [
        ...(await writeModelFolder(source, dir, { tensors, changes }, options)),
        await writeWholeFile(join(dir, 'quantize_config.json'), `${JSON.stringify(section, null, 2)}\n`),
      ];
    },
  };
}

async function readInteger(source: ExportSource, module: string): Promise<PackedLinear> {
  return (await source.readStored(module)) as PackedLinear;
}

async function quantizeConfig(source: ExportSource, format: 'gptq' | 'gptq-v2', descAct: boolean) {
  const first = await readInteger(source, source.modules[0]!);
  const { damp, trueSequential, staticGroups } = gptqSettings(source);
  return {
    quant_method: 'gptq',
    bits: first.bits,
    group_size: commonGroupSize(source)!,
    desc_act: descAct,
    sym: first.symmetric,
    checkpoint_format: format === 'gptq' ? 'gptq' : 'gptq_v2',
    pack_dtype: 'int32',
    lm_head: false,
    damp_percent: damp,
    true_sequential: trueSequential,
    static_groups: staticGroups,
  };
}

/** How GPTQ was run, as noted in the checkpoint; loaders do not use it, but their configuration classes want values. */
function gptqSettings(source: ExportSource): { damp: number; trueSequential: boolean; staticGroups: boolean } {
  let options: Record<string, unknown> = {};
  try {
    options = JSON.parse(source.metadata.options ?? '{}') as Record<string, unknown>;
  } catch {}
  const { dampPercent, trueSequential, staticGroups } = options;
  return {
    damp: typeof dampPercent === 'number' && dampPercent > 0 && dampPercent < 1 ? dampPercent : 0.01,
    trueSequential: trueSequential !== false,
    staticGroups: staticGroups === true,
  };
}

async function valueProblems(source: ExportSource, format: 'gptq' | 'gptq-v2'): Promise<string[]> {
  const problems: string[] = [];
  for (const module of source.modules) {
    const linear = await readInteger(source, module);
    const { bits, outFeatures, inFeatures, scaleType } = linear;
    if ((outFeatures * bits) % 32 !== 0 || (inFeatures * bits) % 32 !== 0)
      problems.push(
        `${module}: ${outFeatures} × ${inFeatures} codes of ${bits} bits do not fill 32-bit words; choose "compressed-tensors"`,
      );
    if (scaleType === 'float32') problems.push(`${module}: its scales are float32, and ${format} holds 16-bit ones; choose "dequantized"`);
    const stuck = format === 'gptq' ? withoutZeroPoints(linear).stuck : 0;
    if (stuck > 0)
      problems.push(`${module}: ${stuck} of its groups have the zero point 0, which format "gptq" stores as −1; choose "gptq-v2"`);
  }
  return problems;
}

function gptqTensors(module: string, stored: PackedLinear, format: 'gptq' | 'gptq-v2'): TensorToWrite[] {
  const { bits, outFeatures, inFeatures, groupSize, scales, groupIndex, ...linear } = stored;
  const groups = groupCount(inFeatures, groupSize);
  const { codes, zeros } = format === 'gptq' ? withoutZeroPoints(stored) : linear;
  const written = format === 'gptq' ? zeros.map((zero) => zero - 1) : zeros;
  const index = groupIndex ?? Int32Array.from({ length: inFeatures }, (_, input) => Math.floor(input / groupSize));
  return [
    {
      name: `${module}.qweight`,
      dtype: 'I32',
      shape: [packedWords(inFeatures, bits), outFeatures],
      values: () => packGptq(codes, outFeatures, inFeatures, bits),
    },
    {
      name: `${module}.qzeros`,
      dtype: 'I32',
      shape: [groups, packedWords(outFeatures, bits)],
      values: () => packCodes(transpose(written, outFeatures, groups), groups, outFeatures, bits),
    },
    { name: `${module}.scales`, dtype: 'F16', shape: [groups, outFeatures], values: () => transpose(scales, outFeatures, groups) },
    { name: `${module}.g_idx`, dtype: 'I32', shape: [inFeatures], values: index },
  ];
}

/**
 * The same weights without a zero point of 0: codes and zero point of such a group rise by one. `stuck` counts the groups in which that
 * is impossible because a code is already the largest; they are left as they are.
 */
export function withoutZeroPoints(linear: PackedLinear): { codes: Uint8Array; zeros: Uint8Array; stuck: number } {
  const { bits, outFeatures, inFeatures, groupSize, groupIndex } = linear;
  if (!linear.zeros.includes(0)) return { codes: linear.codes, zeros: linear.zeros, stuck: 0 };
  const groups = groupCount(inFeatures, groupSize);
  const codes = linear.codes.slice();
  const zeros = linear.zeros.slice();
  const groupOf = (input: number) => groupIndex?.[input] ?? Math.floor(input / groupSize);
  const highest = new Uint8Array(zeros.length);
  for (let i = 0; i < codes.length; i++) {
    const group = Math.floor(i / inFeatures) * groups + groupOf(i % inFeatures);
    highest[group] = Math.max(highest[group]!, codes[i]!);
  }
  let stuck = 0;
  for (let group = 0; group < outFeatures * groups; group++) {
    if (linear.zeros[group] !== 0) continue;
    if (highest[group] === 2 ** bits - 1) stuck++;
    else zeros[group] = 1;
  }
  for (let i = 0; i < codes.length; i++) {
    const group = Math.floor(i / inFeatures) * groups + groupOf(i % inFeatures);
    if (zeros[group] !== linear.zeros[group]) codes[i]!++;
  }
  return { codes, zeros, stuck };
}
