/**
 * LoRA adapters as PEFT lays them out: `adapter_config.json` and `adapter_model.safetensors`, here in the folder of the model they belong to.
 * Keys are `base_model.model.<module>.lora_A.weight` [rank, in] and `.lora_B.weight` [out, rank].
 */
import { join } from 'node:path';
import { isJsonObject, type JsonObject, readOptionalJsonObject } from '../data/json-file.ts';
import type { ModelConfig } from '../model/config.ts';
import { decoderLinears, linearShape } from '../model/parameters.ts';
import { copyFileTo, type WrittenFile, writeWholeFile } from './atomic-file.ts';
import type { ProblemList } from './problems.ts';
import type { ExpectedTensor } from './quantized-layout.ts';
import { type Checkpoint, openFiles, type TensorToWrite, writeSafetensors } from './safetensors.ts';

export const adapterConfigFile = 'adapter_config.json';
export const adapterWeightsFile = 'adapter_model.safetensors';

export interface AdapterSettings {
  rank: number;
  alpha: number;
  dropout: number;
  /** Modules with an update, in execution order. */
  modules: string[];
}

/** The matrices of one module. */
export interface AdapterMatrices {
  /** [rank, in] */
  a: Float32Array;
  /** [out, rank] */
  b: Float32Array;
}

const place = adapterConfigFile;
const remedy = 'Save the adapter with PEFT as plain LoRA, or remove both adapter files to use the model without it.';

export function adapterNames(module: string): { a: string; b: string } {
  return { a: `base_model.model.${module}.lora_A.weight`, b: `base_model.model.${module}.lora_B.weight` };
}

/** The adapter in a model folder, or null when there is none. What cannot be computed as plain LoRA is reported. */
export async function readAdapterSettings(dir: string, config: ModelConfig, problems: ProblemList): Promise<AdapterSettings | null> {
  let json: JsonObject | null;
  try {
    json = await readOptionalJsonObject(join(dir, adapterConfigFile), { code: 'model-invalid', hint: remedy });
  } catch (error) {
    problems.caught(place, error);
    return null;
  }
  if (!json) return null;
  const before = problems.hasErrors;
  const { r: rank, lora_alpha: alpha, lora_dropout: dropout = 0 } = json;
  if (json.peft_type !== 'LORA')
    problems.error(place, `its peft_type is ${JSON.stringify(json.peft_type)}, not LORA.`, remedy, 'unsupported');
  for (const [name, plain] of plainSettings) {
    if (!isPlainSetting(json[name], plain)) problems.error(place, `${name} is ${JSON.stringify(json[name])}.`, remedy, 'unsupported');
  }
  if (!isPositive(rank) || !Number.isInteger(rank)) problems.error(place, `its rank r is ${JSON.stringify(rank)}.`, remedy);
  if (!isPositive(alpha)) problems.error(place, `its lora_alpha is ${JSON.stringify(alpha)}.`, remedy);
  const modules = targetsOf(json.target_modules, config);
  if (modules.length === 0) problems.error(place, 'its target_modules name no decoder linear of this model.', remedy);
  if (!before && problems.hasErrors) return null;
  return { rank: rank as number, alpha: alpha as number, dropout: typeof dropout === 'number' ? dropout : 0, modules };
}

/** What must be unset or as here. */
const plainSettings: readonly (readonly [string, unknown])[] = [
  ['bias', 'none'],
  ['fan_in_fan_out', false],
  ['use_dora', false],
  ['use_rslora', false],
  ['rank_pattern', {}],
  ['alpha_pattern', {}],
  ['modules_to_save', null],
  ['layers_to_transform', null],
];

function isPlainSetting(value: unknown, plain: unknown): boolean {
  return value === undefined || value === null || JSON.stringify(value) === JSON.stringify(plain);
}

function isPositive(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0;
}

/** As PEFT matches: a list names the last parts of modules; `all-linear` is every linear but the head. */
function targetsOf(targets: unknown, config: ModelConfig): string[] {
  const linears = decoderLinears(config);
  if (targets === 'all-linear') return linears;
  if (!Array.isArray(targets)) return [];
  return linears.filter((module) => targets.some((target) => module === target || module.endsWith(`.${String(target)}`)));
}

/** Opens the adapter's weights; close them when done. Missing tensors and wrong shapes are reported. */
export async function openAdapter(dir: string, config: ModelConfig, settings: AdapterSettings, problems: ProblemList): Promise<Checkpoint> {
  const checkpoint = await openFiles(dir, [adapterWeightsFile], problems);
  for (const [name, { shape }] of adapterShapes(config, settings)) {
    const found = checkpoint.tensors.get(name);
    if (!found) problems.error(`${adapterWeightsFile}, ${name}`, 'the tensor is missing.', remedy);
    else if (found.shape.join() !== shape.join())
      problems.error(`${adapterWeightsFile}, ${name}`, `its shape is [${found.shape.join(', ')}], not [${shape.join(', ')}].`, remedy);
  }
  return checkpoint;
}

export function adapterShapes(
  config: ModelConfig,
  { rank, modules }: Pick<AdapterSettings, 'rank' | 'modules'>,
): Map<string, ExpectedTensor> {
  const shapes = new Map<string, ExpectedTensor>();
  for (const module of modules) {
    const [outFeatures, inFeatures] = linearShape(config, module);
    const { a, b } = adapterNames(module);
    shapes.set(a, { shape: [rank, inFeatures], dtypes: ['F32', 'F16', 'BF16'] });
    shapes.set(b, { shape: [outFeatures, rank], dtypes: ['F32', 'F16', 'BF16'] });
  }
  return shapes;
}

export async function readAdapterMatrices(checkpoint: Checkpoint, module: string): Promise<AdapterMatrices> {
  const { a, b } = adapterNames(module);
  return { a: await checkpoint.readFloats(a), b: await checkpoint.readFloats(b) };
}

/** W + alpha / rank · B · A, in double precision, rounded once. @param weight [out, in], changed in place */
export function mergeAdapter(
  weight: Float32Array,
  { a, b }: AdapterMatrices,
  { rank, alpha }: Pick<AdapterSettings, 'rank' | 'alpha'>,
): Float32Array {
  const inFeatures = a.length / rank;
  const row = new Float64Array(inFeatures);
  for (let output = 0; output < b.length / rank; output++) {
    row.fill(0);
    for (let k = 0; k < rank; k++) {
      const factor = (alpha / rank) * b[output * rank + k]!;
      for (let input = 0; input < inFeatures; input++) row[input]! += factor * a[k * inFeatures + input]!;
    }
    for (let input = 0; input < inFeatures; input++) weight[output * inFeatures + input]! += row[input]!;
  }
  return weight;
}

/** Writes both files into `dir`. @param baseModel what `base_model_name_or_path` is to say */
export async function writeAdapter(
  dir: string,
  config: ModelConfig,
  settings: AdapterSettings,
  matrices: ReadonlyMap<string, AdapterMatrices>,
  { baseModel, metadata, signal }: { baseModel: string; metadata?: Record<string, string>; signal?: AbortSignal },
): Promise<WrittenFile[]> {
  const shapes = adapterShapes(config, settings);
  const tensors = [...matrices].flatMap(([module, values]): TensorToWrite[] => {
    const { a, b } = adapterNames(module);
    return [
      { name: a, dtype: 'F32', shape: shapes.get(a)!.shape, values: values.a },
      { name: b, dtype: 'F32', shape: shapes.get(b)!.shape, values: values.b },
    ];
  });
  const json = `${JSON.stringify(adapterConfig(settings, baseModel), null, 2)}\n`;
  return [
    await writeSafetensors(join(dir, adapterWeightsFile), tensors, { ...(metadata ? { metadata } : {}), ...(signal ? { signal } : {}) }),
    await writeWholeFile(join(dir, adapterConfigFile), json),
  ];
}

function adapterConfig({ rank, alpha, dropout, modules }: AdapterSettings, baseModel: string): JsonObject {
  return {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: baseModel,
    r: rank,
    lora_alpha: alpha,
    lora_dropout: dropout,
    target_modules: [...new Set(modules.map((module) => module.split('.').at(-1)!))],
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
  };
}

/** Copies the adapter of one folder into another. */
export async function copyAdapter(sourceDir: string, dir: string): Promise<WrittenFile[]> {
  return [await copyFileTo(dir, join(sourceDir, adapterWeightsFile)), await copyFileTo(dir, join(sourceDir, adapterConfigFile))];
}

/** Bytes of the adapter's matrices as they are written. */
export function adapterBytes(config: ModelConfig, settings: Pick<AdapterSettings, 'rank' | 'modules'>): number {
  return [...adapterShapes(config, settings).values()].reduce((sum, { shape }) => sum + 4 * shape[0]! * shape[1]!, 0);
}

/** Whether the folder's own configuration file names an adapter. */
export async function hasAdapter(dir: string): Promise<boolean> {
  return isJsonObject(await readOptionalJsonObject(join(dir, adapterConfigFile), { code: 'model-invalid', hint: remedy }));
}
