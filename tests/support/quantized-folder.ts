/** Quantized `roundoff` checkpoints of tiny models, made by real rounding, for what is done with checkpoints afterwards. */
import path from 'node:path';
import type { SchemeOverride } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { type Nf4Linear, nestedBlockSize, nf4BlockCount, nf4BlockSize, nf4Levels } from '../../src-main/engine/formats/nf4.ts';
import { dynamicTable, restoreAbsmax } from '../../src-main/engine/formats/nf4-dynamic.ts';
import type { PackedLinear } from '../../src-main/engine/formats/packed-linear.ts';
import { saveQuantizedCheckpoint } from '../../src-main/engine/formats/quantized-checkpoint.ts';
import type { StoredLinear } from '../../src-main/engine/formats/stored-linear.ts';
import { loadModel } from '../../src-main/engine/model/load.ts';
import { decoderLinears } from '../../src-main/engine/model/parameters.ts';
import { quantizeRtn } from '../../src-main/engine/quantizers/rtn.ts';
import { schemeOf } from '../../src-main/engine/quantizers/scheme-map.ts';

export interface RoundedModel {
  dir: string;
  quantized: Map<string, StoredLinear>;
}

/** Rounds every decoder linear of the model in `sourceDir` and saves a checkpoint. `change` may alter a linear before it is saved. */
export async function roundToFolder(
  sourceDir: string,
  dir: string,
  scheme: string,
  {
    overrides = [],
    change = (linear) => linear,
  }: { overrides?: SchemeOverride[]; change?: (linear: StoredLinear, module: string) => StoredLinear } = {},
): Promise<RoundedModel> {
  const model = await loadModel(sourceDir);
  const quantized = new Map<string, StoredLinear>();
  for (const module of decoderLinears(model.config)) {
    const own = schemeOf({ scheme: parseScheme(scheme), overrides }, module);
    if (!own) continue;
    const tensor = model.linear(module).weight();
    const [outFeatures, inFeatures] = tensor.shape;
    const weight = await tensor.data<'float32'>();
    tensor.dispose();
    const rounded =
      own.coding === 'nf4'
        ? roundNf4(weight, outFeatures, inFeatures, own.doubleQuantization ?? false)
        : quantizeRtn(weight, { outFeatures, inFeatures }, own);
    quantized.set(module, change(rounded, module));
  }
  model.dispose();
  await saveQuantizedCheckpoint(dir, { sourceDir, quantized, metadata: { method: 'rtn', scheme } });
  return { dir: path.resolve(dir), quantized };
}

/** Scatters the inputs of a linear over its groups, as GPTQ's act-order without static groups leaves them. */
export function scattered(linear: PackedLinear): PackedLinear {
  const groups = linear.inFeatures / linear.groupSize;
  return { ...linear, groupIndex: Int32Array.from({ length: linear.inFeatures }, (_, input) => input % groups) };
}

function roundNf4(weight: Float32Array, outFeatures: number, inFeatures: number, isNested: boolean): Nf4Linear {
  const blocks = nf4BlockCount(outFeatures, inFeatures);
  let absmax = Float32Array.from({ length: blocks }, (_, block) =>
    largest(weight.subarray(block * nf4BlockSize, (block + 1) * nf4BlockSize)),
  );
  let nested: Nf4Linear['nested'] = null;
  if (isNested) {
    const offset = Math.fround(absmax.reduce((sum, value) => sum + value, 0) / blocks);
    const shifted = absmax.map((value) => value - offset);
    const scales = Float32Array.from({ length: Math.ceil(blocks / nestedBlockSize) }, (_, block) =>
      largest(shifted.subarray(block * nestedBlockSize, (block + 1) * nestedBlockSize)),
    );
    const codes = Uint8Array.from(shifted, (value, block) => nearest(dynamicTable, value / scales[Math.floor(block / nestedBlockSize)]!));
    nested = { codes, absmax: scales, offset };
    absmax = restoreAbsmax(codes, scales, offset, nestedBlockSize) as Float32Array<ArrayBuffer>;
  }
  const codes = Uint8Array.from(weight, (value, index) => nearest(nf4Levels, value / absmax[Math.floor(index / nf4BlockSize)]!));
  return { coding: 'nf4', bits: 4, outFeatures, inFeatures, codes, absmax, nested };
}

function largest(values: Float32Array): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

function nearest(table: Float32Array, value: number): number {
  return table.reduce((best, entry, index) => (Math.abs(entry - value) < Math.abs(table[best]! - value) ? index : best), 0);
}
