/**
 * compressed-tensors checkpoints of format "pack-quantized" (llm-compressor's): integer weights of 2 to 8 bits, several schemes in one model,
 * linears left in float. Codes are packed densely, as the library does since version 0.18; for 2, 4 and 8 bits that is what it always
 * did. Everything else keeps its type.
 */
import type { ExportSource } from '../export-source.ts';
import { groupCount, type PackedLinear, packCodes, packedWords } from '../packed-linear.ts';
import { packGptq, transpose } from '../packing.ts';
import type { TensorToWrite } from '../safetensors.ts';
import { denseTensors, type Exporter, lazyTensors, writeModelFolder } from './exporter.ts';
import { floatLinears, moduleSchemes, schemeProblems, shortGroupProblems } from './limits.ts';

export const compressedTensorsExporter: Exporter = {
  problems: (source) => [...schemeProblems(source, 'compressed-tensors'), ...shortGroupProblems(source, 'compressed-tensors')],
  async write(source, dir, options) {
    const tensors = denseTensors(source);
    const ordered = new Set<string>();
    for (const module of source.modules) {
      if (((await source.readStored(module)) as PackedLinear).groupIndex) ordered.add(module);
      tensors.push(...(await lazyTensors(source, module, (linear) => packTensors(module, linear as PackedLinear))));
    }
    const section = {
      quant_method: 'compressed-tensors',
      format: 'pack-quantized',
      quantization_status: 'compressed',
      global_compression_ratio: null,
      ignore: ['lm_head', ...floatLinears(source)],
      kv_cache_scheme: null,
      config_groups: configGroups(source, ordered),
    };
    return writeModelFolder(source, dir, { tensors, changes: { quantization_config: section } }, options);
  },
};

/** One group per scheme; with a single one every linear is its target, otherwise they are named. */
function configGroups(source: ExportSource, ordered: ReadonlySet<string>) {
  const byScheme = new Map<string, { weights: object; modules: string[] }>();
  for (const [module, scheme] of moduleSchemes(source)) {
    if (!scheme) continue;
    const weights = {
      num_bits: scheme.bits,
      type: 'int',
      symmetric: scheme.symmetric,
      strategy: scheme.strategy,
      group_size: scheme.groupSize,
      dynamic: false,
      actorder: ordered.has(module) ? 'group' : null,
    };
    const key = JSON.stringify(weights);
    byScheme.set(key, { weights, modules: [...(byScheme.get(key)?.modules ?? []), module] });
  }
  const groups = [...byScheme.values()].map(({ weights, modules }, index) => {
    const targets = byScheme.size === 1 ? ['Linear'] : modules;
    return [`group_${index}`, { targets, weights, input_activations: null, output_activations: null }] as const;
  });
  return Object.fromEntries(groups);
}

function packTensors(module: string, linear: PackedLinear): TensorToWrite[] {
  const { bits, symmetric, outFeatures, inFeatures, groupSize, codes, scales, scaleType, zeros, groupIndex } = linear;
  const groups = groupCount(inFeatures, groupSize);
  const tensors: TensorToWrite[] = [
    {
      name: `${module}.weight_packed`,
      dtype: 'I32',
      shape: [outFeatures, packedWords(inFeatures, bits)],
      values: () => packCodes(codes, outFeatures, inFeatures, bits),
    },
    { name: `${module}.weight_scale`, dtype: scaleType === 'float32' ? 'F32' : 'F16', shape: [outFeatures, groups], values: scales },
    {
      name: `${module}.weight_shape`,
      dtype: 'I64',
      shape: [2],
      values: new Uint8Array(BigInt64Array.of(BigInt(outFeatures), BigInt(inFeatures)).buffer),
    },
  ];
  // Zero points [out, groups] are packed along outputs, which is GPTQ's packing of their transpose.
  if (!symmetric)
    tensors.push({
      name: `${module}.weight_zero_point`,
      dtype: 'I32',
      shape: [packedWords(outFeatures, bits), groups],
      values: () => packGptq(transpose(zeros, outFeatures, groups), groups, outFeatures, bits),
    });
  if (groupIndex) tensors.push({ name: `${module}.weight_g_idx`, dtype: 'I32', shape: [inFeatures], values: groupIndex });
  return tensors;
}
