/**
 * What a checkpoint that another tool quantized is to the loader: per module the tensors it consists of, and how they become a
 * `StoredLinear`. One file per tool implements it; everything a reader does not handle is refused by name.
 */
import type { JsonObject } from '../../data/json-file.ts';
import { groupCount, type PackedLinear } from '../packed-linear.ts';
import type { ProblemList } from '../problems.ts';
import type { ForeignScheme } from '../quantized-layout.ts';
import type { Checkpoint, TensorDtype } from '../safetensors.ts';

export interface ReaderContext {
  /** `quantization_config` of config.json. */
  section: JsonObject;
  /** Names of the decoder linears, in execution order. */
  linears: readonly string[];
  checkpoint: Checkpoint;
  problems: ProblemList;
}

/** The quantized modules of a checkpoint; what cannot be read is reported. */
export type ForeignReader = (context: ReaderContext) => Map<string, ForeignScheme>;

const place = 'config.json, quantization_config';
const original = 'Use the original F32, F16 or BF16 model.';
export const restore = 'Download the checkpoint again, complete and from one revision.';

/** Reports a setting this reader does not handle. */
export function refuseSetting(problems: ProblemList, key: string, value: unknown, supported: string): void {
  problems.error(`${place}.${key}`, `${JSON.stringify(value ?? null)} is not supported, only ${supported}.`, original, 'unsupported');
}

/** The linears that have a tensor `<module>.<suffix>`; it is a problem when there is none, or when the output head is quantized too. */
export function quantizedModules({ linears, checkpoint, problems }: ReaderContext, suffix: string): string[] {
  const modules = linears.filter((module) => checkpoint.has(`${module}.${suffix}`));
  if (modules.length === 0 && checkpoint.tensors.size > 0)
    problems.error(place, `it announces quantized weights, but no decoder linear has a tensor "${suffix}".`, restore);
  for (const module of ['lm_head', 'model.embed_tokens'])
    if (checkpoint.has(`${module}.${suffix}`))
      problems.error(`${module}.${suffix}`, 'a quantized embedding or output head is not supported.', original, 'unsupported');
  return modules;
}

/** The `group_size` of a section: −1 is one scale per row. Null, and reported, when it is no size. */
export function readGroupSize(value: unknown, problems: ProblemList): number | null {
  if (typeof value === 'number' && Number.isSafeInteger(value) && (value > 0 || value === -1)) return value;
  problems.error(`${place}.group_size`, `${JSON.stringify(value ?? null)} is not a group size.`, restore);
  return null;
}

/** Group of each input, or null when groups are consecutive. Values outside the groups are reported. */
export function groupIndexOf(
  groups: Int32Array,
  { inFeatures, groupSize }: { inFeatures: number; groupSize: number },
  name: string,
  problems: ProblemList,
): Int32Array | null {
  const count = groupCount(inFeatures, groupSize);
  if (!groups.every((group) => group >= 0 && group < count)) {
    problems.error(name, `a group lies outside 0 … ${count - 1}.`, restore);
    return null;
  }
  return groups.every((group, input) => group === Math.floor(input / groupSize)) ? null : groups;
}

/** Completes an integer linear; scales that are not finite are reported, null then. */
export function integerLinear(
  linear: Omit<PackedLinear, 'scaleType'>,
  { name, dtype }: { name: string; dtype: TensorDtype },
  problems: ProblemList,
): PackedLinear | null {
  if (!linear.scales.every((scale) => Number.isFinite(scale))) {
    problems.error(name, 'a scale is not a finite number.', restore);
    return null;
  }
  return dtype === 'F16' ? linear : { ...linear, scaleType: 'float32' };
}
