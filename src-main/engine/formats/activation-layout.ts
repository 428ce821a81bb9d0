/**
 * How a layer's transforms and activation quantizers lie in a `roundoff` checkpoint: the settings in `quantization_config.layers`, the
 * matrices as F32 tensors `model.layers.N.<site>.left`, `.right`, `model.layers.N.keys.transform` and `.query_transform`.
 */
import { RoundoffError } from '#contract/errors.ts';
import { isJsonObject, type JsonObject } from '../data/json-file.ts';
import {
  type InputSite,
  inputSites,
  isPlain,
  type KroneckerTransform,
  type LayerActivations,
  plainActivations,
  type TokenQuantizer,
} from '../model/layer-activations.ts';
import type { ProblemList } from './problems.ts';
import type { Checkpoint, TensorToWrite } from './safetensors.ts';

const siteNames: Record<InputSite, string> = {
  attentionInput: 'attention_input',
  attentionOutput: 'attention_output',
  mlpInput: 'mlp_input',
  mlpOutput: 'mlp_output',
};
const restore = 'Quantize the model again, or restore the checkpoint from its source.';

/** Sizes the inputs of a layer's linears must have, and of a head. */
export interface ActivationSizes extends Record<InputSite, number> {
  headDim: number;
}

/** Which matrices a layer stores, and its quantizers. */
export interface StoredActivations {
  sites: Record<InputSite, { rows: number; columns: number; left: boolean; right: boolean; quantizer: TokenQuantizer | null }>;
  keys: { transform: boolean; queryTransform: boolean; quantizer: TokenQuantizer | null };
  values: { quantizer: TokenQuantizer | null };
}

/** The JSON of one layer; null when nothing is done to its activations. */
export function activationsConfig(layer: LayerActivations | null): JsonObject | null {
  if (!layer || isPlain(layer)) return null;
  const json: JsonObject = {};
  for (const site of inputSites) {
    const { transform, quantizer } = layer[site];
    const matrices = transform && {
      rows: transform.rows,
      columns: transform.columns,
      left: transform.left !== null,
      right: transform.right !== null,
    };
    json[siteNames[site]] = { transform: matrices, quantizer: quantizerConfig(quantizer) };
  }
  json.keys = {
    transform: layer.keys.transform !== null,
    query_transform: layer.keys.queryTransform !== null,
    quantizer: quantizerConfig(layer.keys.quantizer),
  };
  json.values = { quantizer: quantizerConfig(layer.values.quantizer) };
  return json;
}

function quantizerConfig(quantizer: TokenQuantizer | null): JsonObject | null {
  if (!quantizer) return null;
  const { bits, symmetric, clipHigh, clipLow, outlierThreshold } = quantizer;
  return { bits, symmetric, clip_high: clipHigh, clip_low: clipLow, outlier_threshold: outlierThreshold };
}

/** Reads `quantization_config.layers`; one entry per layer, null where activations are plain. Wrong fields are reported. */
export function parseActivationsConfig(
  config: JsonObject,
  layers: number,
  sizes: ActivationSizes,
  problems: ProblemList,
): (StoredActivations | null)[] {
  const section = config.quantization_config;
  const list = isJsonObject(section) && section.quant_method === 'roundoff' ? section.layers : undefined;
  if (list === undefined) return Array.from({ length: layers }, () => null);
  const place = 'config.json, quantization_config.layers';
  if (!Array.isArray(list) || list.length !== layers) {
    problems.error(place, `it is not a list of ${layers} layers.`, restore);
    return Array.from({ length: layers }, () => null);
  }
  return list.map((value, index) => {
    if (value === null) return null;
    const parsed = parseLayer(value, sizes);
    if (!parsed) problems.error(`${place}[${index}]`, 'its transforms or quantizers are not of the known form.', restore);
    return parsed;
  });
}

function parseLayer(value: unknown, sizes: ActivationSizes): StoredActivations | null {
  if (!isJsonObject(value) || !isJsonObject(value.keys) || !isJsonObject(value.values)) return null;
  const sites = {} as StoredActivations['sites'];
  for (const site of inputSites) {
    const entry = value[siteNames[site]];
    if (!isJsonObject(entry)) return null;
    const quantizer = parseQuantizer(entry.quantizer);
    if (quantizer === undefined) return null;
    const none = { rows: 1, columns: sizes[site], left: false, right: false };
    const transform = entry.transform === null ? none : parseTransform(entry.transform, sizes[site]);
    if (!transform) return null;
    sites[site] = { ...transform, quantizer };
  }
  const { transform, query_transform: queryTransform } = value.keys;
  const keys = parseQuantizer(value.keys.quantizer);
  const values = parseQuantizer(value.values.quantizer);
  if (typeof transform !== 'boolean' || typeof queryTransform !== 'boolean' || keys === undefined || values === undefined) return null;
  return { sites, keys: { transform, queryTransform, quantizer: keys }, values: { quantizer: values } };
}

function parseTransform(value: unknown, size: number): { rows: number; columns: number; left: boolean; right: boolean } | null {
  if (!isJsonObject(value)) return null;
  const { rows, columns, left, right } = value;
  if (!isCount(rows) || !isCount(columns) || rows * columns !== size) return null;
  return typeof left === 'boolean' && typeof right === 'boolean' ? { rows, columns, left, right } : null;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

/** JSON may hold 1e999, which is no finite number. */
function isFiniteNumber(value: unknown): value is number {
  return Number.isFinite(value);
}

/** Undefined when the value is no quantizer. */
function parseQuantizer(value: unknown): TokenQuantizer | null | undefined {
  if (value === null) return null;
  if (!isJsonObject(value)) return undefined;
  const { bits, symmetric, clip_high: clipHigh, clip_low: clipLow, outlier_threshold: outlierThreshold } = value;
  if (!isCount(bits) || bits < 2 || bits > 8 || typeof symmetric !== 'boolean') return undefined;
  if (!isFiniteNumber(clipHigh) || !isFiniteNumber(clipLow) || clipHigh < 0 || clipLow < 0) return undefined;
  if (outlierThreshold !== null && !(isFiniteNumber(outlierThreshold) && outlierThreshold > 0)) return undefined;
  return { bits, symmetric, clipHigh, clipLow, outlierThreshold };
}

/** The matrices of layer `index`. */
export function activationTensors(index: number, layer: LayerActivations): TensorToWrite[] {
  const tensors: TensorToWrite[] = [];
  const add = (name: string, values: Float32Array | null) => {
    if (!values) return;
    const size = Math.round(Math.sqrt(values.length));
    tensors.push({ name: `model.layers.${index}.${name}`, dtype: 'F32', shape: [size, size], values });
  };
  for (const site of inputSites) {
    add(`${siteNames[site]}.left`, layer[site].transform?.left ?? null);
    add(`${siteNames[site]}.right`, layer[site].transform?.right ?? null);
  }
  add('keys.transform', layer.keys.transform);
  add('keys.query_transform', layer.keys.queryTransform);
  return tensors;
}

/** Names and shapes of the matrices of layer `index`. */
export function activationShapes(index: number, stored: StoredActivations, headDim: number): Map<string, number[]> {
  const shapes = new Map<string, number[]>();
  const add = (name: string, size: number) => shapes.set(`model.layers.${index}.${name}`, [size, size]);
  for (const site of inputSites) {
    const { rows, columns, left, right } = stored.sites[site];
    if (left) add(`${siteNames[site]}.left`, rows);
    if (right) add(`${siteNames[site]}.right`, columns);
  }
  if (stored.keys.transform) add('keys.transform', headDim);
  if (stored.keys.queryTransform) add('keys.query_transform', headDim);
  return shapes;
}

/** Reads what `activationTensors` wrote. Throws `model-invalid` naming a matrix with a value that is no finite number. */
export async function readActivations(checkpoint: Checkpoint, index: number, stored: StoredActivations): Promise<LayerActivations> {
  const read = (name: string, isThere: boolean) =>
    isThere ? readMatrix(checkpoint, `model.layers.${index}.${name}`) : Promise.resolve(null);
  const layer = plainActivations();
  for (const site of inputSites) {
    const { rows, columns, left, right, quantizer } = stored.sites[site];
    const matrices: KroneckerTransform = {
      rows,
      columns,
      left: await read(`${siteNames[site]}.left`, left),
      right: await read(`${siteNames[site]}.right`, right),
    };
    layer[site] = { transform: left || right ? matrices : null, quantizer };
  }
  layer.keys = {
    transform: await read('keys.transform', stored.keys.transform),
    queryTransform: await read('keys.query_transform', stored.keys.queryTransform),
    quantizer: stored.keys.quantizer,
  };
  layer.values = stored.values;
  return layer;
}

async function readMatrix(checkpoint: Checkpoint, name: string): Promise<Float32Array> {
  const values = await checkpoint.readFloats(name);
  if (values.every((value) => Number.isFinite(value))) return values;
  throw new RoundoffError('model-invalid', `${checkpoint.dir}: ${name} holds a value that is not a finite number.`, restore);
}
