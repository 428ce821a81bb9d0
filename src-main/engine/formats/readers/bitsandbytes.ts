/**
 * Reads 4-bit NF4 checkpoints of bitsandbytes, with and without double quantization. The settings of a module are JSON in a byte tensor;
 * block sizes and tables other than bitsandbytes' own defaults are refused.
 */
import { isJsonObject, type JsonObject } from '../../data/json-file.ts';
import { type Nf4Linear, nestedBlockSize, nf4BlockCount, nf4BlockSize, nf4Levels } from '../nf4.ts';
import { dynamicTable, restoreAbsmax } from '../nf4-dynamic.ts';
import { unpackNibbles } from '../packing.ts';
import type { ProblemList } from '../problems.ts';
import type { ExpectedTensor, ForeignScheme } from '../quantized-layout.ts';
import type { Checkpoint } from '../safetensors.ts';
import { type ForeignReader, quantizedModules, refuseSetting, restore } from './foreign.ts';

export const quantStateName = 'weight.quant_state.bitsandbytes__nf4';

export const readBitsandbytesConfig: ForeignReader = (context) => {
  const { section, checkpoint, problems } = context;
  const { load_in_4bit: isFourBit, bnb_4bit_quant_type: type, bnb_4bit_quant_storage: storage = 'uint8' } = section;
  const before = problems.items.length;
  if (isFourBit !== true) refuseSetting(problems, 'load_in_4bit', isFourBit, 'true');
  else if (type !== 'nf4') refuseSetting(problems, 'bnb_4bit_quant_type', type, '"nf4"');
  if (storage !== 'uint8') refuseSetting(problems, 'bnb_4bit_quant_storage', storage, '"uint8"');
  if (problems.items.length > before) return new Map();
  const modules = quantizedModules(context, quantStateName);
  return new Map(modules.map((module) => [module, nf4Scheme(checkpoint, module)]));
};

function nf4Scheme(checkpoint: Checkpoint, name: string): ForeignScheme {
  const isNested = checkpoint.has(`${name}.weight.nested_absmax`);
  const stateBytes = checkpoint.entry(`${name}.${quantStateName}`).sizeBytes;
  return {
    coding: 'foreign',
    form: { coding: 'nf4', isNested },
    tensors(module, [outFeatures, inFeatures]) {
      const count = outFeatures * inFeatures;
      const blocks = nf4BlockCount(outFeatures, inFeatures);
      const tensors = new Map<string, ExpectedTensor>([
        [`${module}.weight`, { shape: [Math.ceil(count / 2), 1], dtypes: ['U8'] }],
        [`${module}.weight.absmax`, { shape: [blocks], dtypes: [isNested ? 'U8' : 'F32'] }],
        [`${module}.weight.quant_map`, { shape: [16], dtypes: ['F32'] }],
        [`${module}.${quantStateName}`, { shape: [stateBytes], dtypes: ['U8'] }],
      ]);
      if (!isNested) return tensors;
      tensors.set(`${module}.weight.nested_absmax`, { shape: [Math.ceil(blocks / nestedBlockSize)], dtypes: ['F32'] });
      return tensors.set(`${module}.weight.nested_quant_map`, { shape: [256], dtypes: ['F32'] });
    },
    read: (file, module, shape, problems) => readNf4(file, module, shape, isNested, problems),
  };
}

async function readNf4(
  checkpoint: Checkpoint,
  module: string,
  [outFeatures, inFeatures]: [number, number],
  isNested: boolean,
  problems: ProblemList,
): Promise<Nf4Linear | null> {
  const state = parseState(await checkpoint.readBytes(`${module}.${quantStateName}`));
  const wanted = isNested ? { blocksize: nf4BlockSize, nested_blocksize: nestedBlockSize } : { blocksize: nf4BlockSize };
  const tables = [await isTable(checkpoint, `${module}.weight.quant_map`, nf4Levels)];
  if (isNested) tables.push(await isTable(checkpoint, `${module}.weight.nested_quant_map`, dynamicTable));
  const offset = isNested ? state?.nested_offset : 0;
  const isKnown = state && state.quant_type === 'nf4' && Object.entries(wanted).every(([key, value]) => state[key] === value);
  if (!isKnown || typeof offset !== 'number' || tables.includes(false)) {
    problems.error(`${module}.${quantStateName}`, 'its type, block sizes or tables are not those of NF4.', restore, 'unsupported');
    return null;
  }
  const codes = unpackNibbles(await checkpoint.readBytes(`${module}.weight`), outFeatures * inFeatures);
  const linear = { coding: 'nf4', bits: 4, outFeatures, inFeatures, codes } as const;
  if (!isNested)
    return checkedScales({ ...linear, absmax: await checkpoint.readFloats(`${module}.weight.absmax`), nested: null }, problems);
  const nested = {
    codes: await checkpoint.readBytes(`${module}.weight.absmax`),
    absmax: await checkpoint.readFloats(`${module}.weight.nested_absmax`),
    offset: Math.fround(offset),
  };
  return checkedScales({ ...linear, absmax: restoreAbsmax(nested.codes, nested.absmax, nested.offset, nestedBlockSize), nested }, problems);

  function checkedScales(result: Nf4Linear, list: ProblemList): Nf4Linear | null {
    if (result.absmax.every((value) => Number.isFinite(value))) return result;
    list.error(`${module}.weight.absmax`, 'a block scale is not a finite number.', restore);
    return null;
  }
}

function parseState(bytes: Uint8Array): JsonObject | null {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return isJsonObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** Tables are stored beside every weight; a last bit may differ between versions of bitsandbytes. */
async function isTable(checkpoint: Checkpoint, name: string, expected: Float32Array): Promise<boolean> {
  const table = await checkpoint.readFloats(name);
  return table.every((value, index) => Math.abs(value - expected[index]!) <= 1e-6);
}
