/**
 * Loads a model folder into a `LanguageModel`: everything is checked before the first value is read, then weights stream in tensor by
 * tensor, so that each is in memory once. Dense Hugging Face folders, Roundoff's packed checkpoints and those of other tools load alike,
 * with the LoRA adapter that lies in the folder.
 */

import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { throwIfCancelled } from '../data/cancellation.ts';
import { isJsonObject, type JsonObject, readJsonObject } from '../data/json-file.ts';
import { activationShapes, parseActivationsConfig, readActivations, type StoredActivations } from '../formats/activation-layout.ts';
import { type AdapterSettings, openAdapter, readAdapterMatrices, readAdapterSettings } from '../formats/adapter.ts';
import { ProblemList } from '../formats/problems.ts';
import {
  type ExpectedTensor,
  floatTypes,
  packedShapes,
  parseQuantizationConfig,
  readStoredLinear,
  type StoredScheme,
} from '../formats/quantized-layout.ts';
import { foreignReaders } from '../formats/readers/index.ts';
import { type Checkpoint, openCheckpoint } from '../formats/safetensors.ts';
import { firstNonFiniteHalf, type HalfType, packHalf } from '../ops/index.ts';
import { configFile, type ModelConfig, readModelConfig } from './config.ts';
import { HalfLinearOp } from './half-linear-op.ts';
import { LanguageModel } from './language-model.ts';
import { PackedLinearOp, type ParameterMap } from './linear-op.ts';
import { LoraLinear } from './lora-linear.ts';
import { activationSizes, decoderLinears, linearShape, parameterShapes } from './parameters.ts';

export interface LoadOptions {
  signal?: AbortSignal;
  /** 'half' keeps decoder linears that are stored in 16 bits so, for models whose weights are not trained; 'full' (the default) makes them float32. */
  storage?: 'full' | 'half';
}

/** How models whose weights stay as they are lie in the memory of the active backend: in half of it on the GPU, whose kernels read 16 bits. */
export function frozenStorage(): 'full' | 'half' {
  return tf.getBackend() === 'webgpu' ? 'half' : 'full';
}

/**
 * Loads the model in `dir` onto the current backend. Throws one error (`not-found`, `unsupported` or `model-invalid`) that lists all
 * missing tensors, wrong shapes and non-finite values; nothing stays allocated then.
 */
export async function loadModel(dir: string, options: LoadOptions = {}): Promise<LanguageModel> {
  const config = await readModelConfig(dir);
  const checkpoint = await openCheckpoint(dir);
  const problems = new ProblemList();
  try {
    const layout = await readStoredLayout(checkpoint, config, problems);
    const adapter = await readAdapterSettings(dir, config, problems);
    checkTensors(checkpoint, storedShapes(config, layout), problems);
    problems.throwErrors(dir);
    const halves = options.storage === 'half' ? halfModules(checkpoint, config, layout) : new Map<string, HalfType>();
    const elsewhere = new Set([...layout.schemes.keys(), ...halves.keys()]);
    const parameters = await readParameters(checkpoint, config, elsewhere, problems, options);
    const model = await attachStored(new LanguageModel(config, parameters), checkpoint, { ...layout, halves }, problems, options);
    return adapter ? await attachAdapter(model, dir, adapter) : model;
  } finally {
    await checkpoint.close();
  }
}

/** What a checkpoint folder stores besides dense parameters. */
export interface StoredLayout {
  /** The quantized modules; empty for a dense model. */
  schemes: Map<string, StoredScheme>;
  /** By layer; null where activations are plain. */
  activations: (StoredActivations | null)[];
}

/** Reads from config.json and the names of the tensors how the checkpoint is stored. What cannot be read is reported. */
export async function readStoredLayout(checkpoint: Checkpoint, config: ModelConfig, problems: ProblemList): Promise<StoredLayout> {
  const json = await readJsonObject(join(checkpoint.dir, configFile), { code: 'model-invalid' });
  const linears = decoderLinears(config);
  const section = json.quantization_config;
  const readForeign = isJsonObject(section) ? foreignReaders.get(section.quant_method) : undefined;
  return {
    schemes: readForeign
      ? readForeign({ section: section as JsonObject, linears, checkpoint, problems })
      : parseQuantizationConfig(json, new Set(linears), problems),
    activations: parseActivationsConfig(json, config.layers, activationSizes(config), problems),
  };
}

/** All tensors the checkpoint must hold, by name. */
export function storedShapes(config: ModelConfig, { schemes, activations }: StoredLayout): Map<string, ExpectedTensor> {
  const shapes = new Map<string, ExpectedTensor>();
  const float = (shape: number[]): ExpectedTensor => ({ shape, dtypes: floatTypes });
  for (const [name, shape] of parameterShapes(config)) {
    const module = name.slice(0, -'.weight'.length);
    const scheme = schemes.get(module);
    if (!scheme || !name.endsWith('.weight')) shapes.set(name, float(shape));
    else for (const [stored, storedShape] of packedShapes(module, linearShape(config, module), scheme)) shapes.set(stored, storedShape);
  }
  for (const [index, layer] of activations.entries()) {
    if (!layer) continue;
    for (const [name, shape] of activationShapes(index, layer, config.headDim)) shapes.set(name, float(shape));
  }
  return shapes;
}

/** Reports every tensor that is missing, of another shape, or of a type that cannot be read. */
export function checkTensors(checkpoint: Checkpoint, shapes: ReadonlyMap<string, ExpectedTensor>, problems: ProblemList): void {
  for (const [name, { shape, dtypes }] of shapes) {
    const entry = checkpoint.tensors.get(name);
    if (!entry) {
      problems.error(name, 'the tensor is missing.', 'Download the model again, complete with all its files.');
      continue;
    }
    if (entry.shape.join() !== shape.join())
      problems.error(
        name,
        `its shape is [${entry.shape.join(', ')}], but config.json implies [${shape.join(', ')}].`,
        'Take config.json and weights from the same revision of the model.',
      );
    if (!dtypes.includes(entry.dtype))
      problems.error(name, `it is stored as ${entry.dtype}.`, 'Use the original F32, F16 or BF16 weights of the model.', 'unsupported');
  }
}

async function readParameters(
  checkpoint: Checkpoint,
  config: ModelConfig,
  elsewhere: ReadonlySet<string>,
  problems: ProblemList,
  options: LoadOptions,
): Promise<ParameterMap> {
  const parameters: ParameterMap = new Map();
  try {
    for (const [name, shape] of parameterShapes(config)) {
      if (name.endsWith('.weight') && elsewhere.has(name.slice(0, -'.weight'.length))) continue;
      throwIfCancelled(options.signal, 'Loading the model');
      const values = await checkpoint.readFloats(name);
      const bad = firstNonFinite(values);
      if (bad >= 0) reportNonFinite(name, shape, bad, values[bad]!, problems);
      parameters.set(name, tf.tensor(values, shape));
    }
    problems.throwErrors(checkpoint.dir);
    return parameters;
  } catch (error) {
    tf.dispose([...parameters.values()]);
    throw error;
  }
}

/** Dense decoder linears that are stored in 16 bits, and how. */
function halfModules(checkpoint: Checkpoint, config: ModelConfig, { schemes }: StoredLayout): Map<string, HalfType> {
  const types: Partial<Record<string, HalfType>> = { F16: 'f16', BF16: 'bf16' };
  const modules = new Map<string, HalfType>();
  for (const module of decoderLinears(config)) {
    const [outFeatures, inFeatures] = linearShape(config, module);
    if (schemes.has(module) || (outFeatures * inFeatures) % 2 === 1) continue;
    const type = types[checkpoint.entry(`${module}.weight`).dtype];
    if (type) modules.set(module, type);
  }
  return modules;
}

async function attachStored(
  model: LanguageModel,
  checkpoint: Checkpoint,
  { schemes, activations, halves }: StoredLayout & { halves: ReadonlyMap<string, HalfType> },
  problems: ProblemList,
  options: LoadOptions,
): Promise<LanguageModel> {
  try {
    for (const [module, type] of halves) {
      throwIfCancelled(options.signal, 'Loading the model');
      const shape = linearShape(model.config, module);
      const bytes = await checkpoint.readBytes(`${module}.weight`);
      const bad = firstNonFiniteHalf(bytes, type);
      if (bad) reportNonFinite(`${module}.weight`, shape, bad.index, bad.value, problems);
      model.setLinear(module, new HalfLinearOp(model.parameters, module, packHalf(bytes, shape, type)));
    }
    for (const [module, scheme] of schemes) {
      throwIfCancelled(options.signal, 'Loading the model');
      const stored = await readStoredLinear(checkpoint, module, linearShape(model.config, module), scheme, problems);
      if (stored) model.setLinear(module, new PackedLinearOp(model.parameters, module, stored));
    }
    for (const [index, layer] of activations.entries()) {
      if (layer) model.setActivations(index, await readActivations(checkpoint, index, layer));
    }
    problems.throwErrors(checkpoint.dir);
    return model;
  } catch (error) {
    model.dispose();
    throw error;
  }
}

async function attachAdapter(model: LanguageModel, dir: string, settings: AdapterSettings): Promise<LanguageModel> {
  const problems = new ProblemList();
  const checkpoint = await openAdapter(dir, model.config, settings, problems);
  try {
    problems.throwErrors(dir);
    for (const module of settings.modules) {
      const { a, b } = await readAdapterMatrices(checkpoint, module);
      const [outFeatures, inFeatures] = linearShape(model.config, module);
      for (const [values, shape] of [
        [a, [settings.rank, inFeatures]],
        [b, [outFeatures, settings.rank]],
      ] as const) {
        const bad = firstNonFinite(values);
        if (bad >= 0) reportNonFinite(`the adapter of ${module}`, shape, bad, values[bad]!, problems);
      }
      const update = {
        a: tf.keep(tf.tensor2d(a, [settings.rank, inFeatures])),
        b: tf.keep(tf.tensor2d(b, [outFeatures, settings.rank])),
        scale: settings.alpha / settings.rank,
      };
      model.wrapLinear(module, (base) => new LoraLinear(base, update));
    }
    problems.throwErrors(dir);
    return model;
  } catch (error) {
    model.dispose();
    throw error;
  } finally {
    await checkpoint.close();
  }
}

/** Index of the first NaN or infinity, or −1. */
export function firstNonFinite(values: Float32Array): number {
  for (let index = 0; index < values.length; index++) if (values[index]! - values[index]! !== 0) return index;
  return -1;
}

export function reportNonFinite(name: string, shape: readonly number[], index: number, value: number, problems: ProblemList): void {
  const columns = shape.at(-1)!;
  const place = shape.length > 1 ? `row ${Math.floor(index / columns)}, column ${index % columns}` : `element ${index}`;
  problems.error(
    name,
    `it holds ${Number.isNaN(value) ? 'NaN' : value} at ${place}.`,
    'Download the file again; if its checksum is right, the model itself is damaged.',
  );
}
