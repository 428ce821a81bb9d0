/**
 * How a model's weights lie in its files, as far as the memory that it takes depends on it: read from headers, or foretold for what a recipe's
 * stages will leave behind.
 */
import type { Recipe } from '#contract/recipe.ts';
import type { QuantizationScheme } from '#contract/scheme.ts';
import { type TrainsOf, trainedScheme } from '#contract/training.ts';
import { readActivations } from '../formats/activation-layout.ts';
import { readAdapterSettings } from '../formats/adapter.ts';
import { nf4BlockSize } from '../formats/nf4.ts';
import { groupCount, packedWords } from '../formats/packed-linear.ts';
import { ProblemList } from '../formats/problems.ts';
import type { StoredScheme } from '../formats/quantized-layout.ts';
import { openCheckpoint, type TensorDtype } from '../formats/safetensors.ts';
import { plannedActivations } from '../quantizers/planned-activations.ts';
import { schemeOf } from '../quantizers/scheme-map.ts';
import type { WeightFormat } from '../rollouts/gpu/kernels/weight-format.ts';
import type { ModelConfig } from './config.ts';
import type { LayerActivations } from './layer-activations.ts';
import { readStoredLayout } from './load.ts';
import { decoderLinears, embeddingName, linearShape, parameterCount } from './parameters.ts';

export interface StoredForms {
  config: ModelConfig;
  /** Of a decoder linear. */
  linear(module: string): WeightFormat;
  /** Of embeddings and head. */
  table: WeightFormat;
  /** LoRA's, beside the weights. */
  adapter: { rank: number; modules: ReadonlySet<string> } | null;
  activations: readonly (LayerActivations | null)[];
}

/** Every weight as float32. */
export function floatForms(config: ModelConfig): StoredForms {
  const form: WeightFormat = { kind: 'float32' };
  const activations = Array.from({ length: config.layers }, () => null);
  return { config, linear: () => form, table: form, adapter: null, activations };
}

/** @throws RoundoffError that lists what is wrong with the folder's headers */
export async function readStoredForms(dir: string, config: ModelConfig): Promise<StoredForms> {
  const checkpoint = await openCheckpoint(dir);
  try {
    const problems = new ProblemList();
    const { schemes, activations: stored } = await readStoredLayout(checkpoint, config, problems);
    const adapter = await readAdapterSettings(dir, config, problems);
    problems.throwErrors(dir);
    const activations: (LayerActivations | null)[] = [];
    for (const [index, layer] of stored.entries()) activations.push(layer && (await readActivations(checkpoint, index, layer)));
    const linear = (module: string): WeightFormat => {
      const scheme = schemes.get(module);
      return scheme ? packedForm(scheme, linearShape(config, module)[1]) : denseForm(checkpoint.entry(`${module}.weight`).dtype);
    };
    const forms = new Map(decoderLinears(config).map((module) => [module, linear(module)]));
    return {
      config,
      linear: (module) => forms.get(module)!,
      table: denseForm(checkpoint.entry(embeddingName).dtype),
      adapter: adapter && { rank: adapter.rank, modules: new Set(adapter.modules) },
      activations,
    };
  } finally {
    await checkpoint.close();
  }
}

/** What these stages make of a model. */
export function formsAfter(stages: Recipe['stages'], start: StoredForms): StoredForms {
  return stages.reduce((forms, stage) => {
    if (stage.type === 'quantize') return quantizedForms(stage, forms);
    return stage.type === 'train' ? trainedForms(stage.trains, forms) : forms;
  }, start);
}

type Stage<T extends string> = Extract<Recipe['stages'][number], { type: T }>;

/** What a quantize stage makes of a model. */
export function quantizedForms(stage: Stage<'quantize'>, before: StoredForms): StoredForms {
  const { config } = before;
  const isGrouped = stage.method === 'gptq' && stage.options.actOrder && !stage.options.staticGroups;
  const rotated = stage.method === 'quarot' ? { config: { ...config, tiedEmbeddings: false }, table: { kind: 'float32' } as const } : {};
  return {
    ...before,
    ...rotated,
    linear: (module) => {
      const scheme = schemeOf(stage, module);
      return scheme ? schemeForm(scheme, linearShape(config, module)[1], isGrouped) : before.linear(module);
    },
    activations: plannedActivations(stage, config),
  };
}

function trainedForms(trains: Stage<'train'>['trains'], before: StoredForms): StoredForms {
  const { config, activations } = before;
  if (trains.kind === 'lora') {
    const modules = decoderLinears(config).filter((module) => trains.modules.some((name) => module.endsWith(`.${name}`)));
    return { ...before, adapter: { rank: trains.rank, modules: new Set(modules) } };
  }
  // FlatQuant's transforms stay in front of linears that keep their scheme.
  if (trains.kind === 'flatquant') return before;
  const float = floatForms(config);
  if (trains.kind === 'weights') return float;
  const scheme = trainedScheme(trains);
  const linear = (module: string) => trainedForm(trains, module, before);
  return { ...float, linear, activations: scheme ? schemeActivations(scheme, config) : activations };
}

function trainedForm(trains: TrainsOf<'quantized'>, module: string, before: StoredForms): WeightFormat {
  const stored = before.linear(module);
  if (!trains.modules.some((name) => module.endsWith(`.${name}`))) return { kind: 'float32' };
  const scheme = trainedScheme(trains);
  return scheme ? schemeForm(scheme, linearShape(before.config, module)[1], false) : stored;
}

/** What rounding every linear by a scheme does to activations. */
function schemeActivations(scheme: QuantizationScheme, config: ModelConfig): LayerActivations[] {
  return plannedActivations({ type: 'quantize', method: 'rtn', scheme, options: { mseSearch: false } }, config);
}

/** Bytes of the tensors that hold a loaded model: linears as stored, everything else in float32. */
export function loadedBytes(forms: StoredForms): number {
  const { config, adapter } = forms;
  let bytes = 4 * parameterCount(config);
  for (const module of decoderLinears(config)) {
    const [rows, columns] = linearShape(config, module);
    bytes += tensorBytes(forms.linear(module), rows, columns) - 4 * rows * columns;
    if (adapter?.modules.has(module)) bytes += 4 * adapter.rank * (rows + columns);
  }
  return bytes;
}

/** Of one linear, `rows` × `columns`. */
export function tensorBytes(form: WeightFormat, rows: number, columns: number): number {
  const size = rows * columns;
  if (form.kind === 'float32') return 4 * size;
  if (form.kind === 'nf4') return size / 2 + (4 * size) / nf4BlockSize;
  if (form.kind !== 'integer') return 2 * size;
  const groups = rows * groupCount(columns, form.groupSize);
  const zeros = form.symmetric ? 0 : packedWords(groups, form.bits);
  return 4 * (rows * packedWords(columns, form.bits) + groups + zeros + (form.grouped ? columns : 0));
}

function packedForm(scheme: StoredScheme, inFeatures: number): WeightFormat {
  const form = scheme.coding === 'foreign' ? scheme.form : scheme;
  if (form.coding === 'nf4') return { kind: 'nf4' };
  const { bits, symmetric, groupSize, hasGroupIndex: grouped } = form;
  return { kind: 'integer', bits, groupSize: groupSize === -1 ? inFeatures : groupSize, symmetric, grouped };
}

function schemeForm({ coding, bits, groupSize, symmetric }: QuantizationScheme, inFeatures: number, isGrouped: boolean): WeightFormat {
  if (coding === 'nf4') return { kind: 'nf4' };
  const grouped = isGrouped && groupSize !== null && groupSize < inFeatures;
  return { kind: 'integer', bits, groupSize: groupSize ?? inFeatures, symmetric, grouped };
}

function denseForm(dtype: TensorDtype): WeightFormat {
  if (dtype === 'F16') return { kind: 'float16' };
  return { kind: dtype === 'BF16' ? 'bfloat16' : 'float32' };
}
