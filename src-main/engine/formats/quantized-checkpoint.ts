/**
 * Writes a quantized model as a `roundoff` checkpoint, a folder that stands on its own: packed codes, transforms, activation quantizers.
 * Everything that was not changed is copied byte for byte from the source model, tokenizer and templates included, so the reloaded model
 * computes exactly what the quantized one did. Without quantized linears the folder is a plain copy of the model. Other formats are made
 * from it by export.ts.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import { fileError, type JsonObject, readJsonObject } from '../data/json-file.ts';
import { configFile, type ModelConfig, readModelConfig } from '../model/config.ts';
import type { LayerActivations } from '../model/layer-activations.ts';
import { readStoredLayout } from '../model/load.ts';
import { decoderLinears, linearShape, parameterShapes } from '../model/parameters.ts';
import { activationTensors } from './activation-layout.ts';
import { type WrittenFile, writeFolderAtomically, writeWholeFile } from './atomic-file.ts';
import { ProblemList } from './problems.ts';
import { packedTensors, quantizationConfig } from './quantized-layout.ts';
import { type Checkpoint, openCheckpoint, type TensorToWrite, weightsFile, writeSafetensors } from './safetensors.ts';
import type { StoredLinear } from './stored-linear.ts';

/** Float values of a parameter that is not stored as codes. */
export interface DenseParameter {
  values: Float32Array;
  shape: readonly number[];
}

export interface QuantizedCheckpointOptions {
  /** Folder of the model that was quantized; what is given neither in `quantized` nor in `parameters` comes from here. */
  sourceDir: string;
  /** Quantized linears by module name. */
  quantized: ReadonlyMap<string, StoredLinear>;
  /** Dense parameters that quantization changed (folded norms, rotated embeddings), by Hugging Face name; stored as F32. */
  parameters?: ReadonlyMap<string, DenseParameter>;
  /** What a method learnt and folding hides, by tensor name: goes to `trained.safetensors`, from which training may start. */
  trained?: ReadonlyMap<string, DenseParameter>;
  /** Float weights that the codes are rounded from, by Hugging Face name: goes to `latents.safetensors`, from which training goes on. */
  latents?: ReadonlyMap<string, DenseParameter>;
  /** By layer; null or absent where activations are plain. */
  activations?: readonly (LayerActivations | null)[];
  /** The output head got weights of its own. */
  untied?: boolean;
  /** Notes for the safetensors header, e.g. method and scheme. */
  metadata?: Record<string, string>;
  /** Replace an existing folder. */
  replace?: boolean;
  signal?: AbortSignal;
}

export interface SavedCheckpoint {
  dir: string;
  /** sha256 over the sorted names and hashes of the files; equal folders have equal hashes. */
  sha256: string;
  sizeBytes: number;
  /** Bytes of the files that hold weights. */
  weightBytes: number;
  files: { name: string; sha256: string; sizeBytes: number }[];
}

/** Transforms and clip logits as they were learnt; nothing that computes with the checkpoint needs it. */
export const trainedFile = 'trained.safetensors';

/** Float weights that the codes are rounded from: GPTQ's, compensated, or those that training left. Nothing that computes needs it either. */
export const latentsFile = 'latents.safetensors';

const weightFile = /^(adapter_)?model.*\.safetensors$|\.gguf$/;

/** Small files of a model folder that belong to every copy of it. */
export const companionFiles = [
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'chat_template.jinja',
  'chat_template.json',
] as const;

/**
 * Writes the checkpoint folder `dir`, whole or not at all. Throws `bad-input` for a module the model does not have or of another shape,
 * `disk-full` or `read-only` when the disk refuses, `cancelled` on the signal.
 */
export async function saveQuantizedCheckpoint(dir: string, options: QuantizedCheckpointOptions): Promise<SavedCheckpoint> {
  const { sourceDir, quantized, metadata, replace = false, signal } = options;
  const sourceConfig = await readModelConfig(sourceDir);
  const config = { ...sourceConfig, tiedEmbeddings: sourceConfig.tiedEmbeddings && !options.untied };
  checkModules(config, quantized);
  const source = await openCheckpoint(sourceDir);
  try {
    await checkSource(source, sourceConfig, options);
    const tensors = listTensors(source, config, options);
    const files = await writeFolderAtomically(
      dir,
      async (temporary) => [
        await writeSafetensors(join(temporary, weightsFile), tensors, { metadata, signal }),
        ...(await writeExtra(temporary, trainedFile, options.trained, signal)),
        ...(await writeExtra(temporary, latentsFile, options.latents, signal)),
        await writeConfig(sourceDir, temporary, options),
        ...(await copyCompanions(sourceDir, temporary)),
      ],
      { replace },
    );
    return summarizeFolder(dir, files);
  } finally {
    await source.close();
  }
}

function checkModules(config: ModelConfig, quantized: ReadonlyMap<string, StoredLinear>): void {
  const known = new Set(decoderLinears(config));
  const problems: string[] = [];
  for (const [module, { outFeatures, inFeatures }] of quantized) {
    const [out, input] = known.has(module) ? linearShape(config, module) : [0, 0];
    if (out !== outFeatures || input !== inFeatures)
      problems.push(`${module}: [${outFeatures}, ${inFeatures}] is not the shape of this module in the model.`);
  }
  if (problems.length > 0)
    throw new RoundoffError(
      'bad-input',
      `The quantized linears do not belong to this model: ${problems[0]}`,
      'Quantize the model in the source folder again.',
      { problems },
    );
}

/** A source that is itself packed has no float weights to copy: all its packed modules must be given, as codes or as floats. */
async function checkSource(
  source: Checkpoint,
  config: ModelConfig,
  { quantized, parameters }: Pick<QuantizedCheckpointOptions, 'quantized' | 'parameters'>,
): Promise<void> {
  const { schemes } = await readStoredLayout(source, config, new ProblemList());
  const missing = [...schemes.keys()].filter((module) => !quantized.has(module) && !parameters?.has(`${module}.weight`));
  if (missing.length > 0)
    throw new RoundoffError(
      'bad-input',
      `${source.dir} is already quantized, and ${missing.length} of its modules, such as ${missing[0]}, are not among those to save.`,
      'Save all packed linears of the loaded model, or start from the original model.',
    );
}

function listTensors(
  source: Checkpoint,
  config: ModelConfig,
  { quantized, parameters, activations = [] }: QuantizedCheckpointOptions,
): TensorToWrite[] {
  const tensors: TensorToWrite[] = [];
  for (const [name, shape] of parameterShapes(config)) {
    const module = name.replace(/\.weight$/, '');
    const stored = name.endsWith('.weight') ? quantized.get(module) : undefined;
    const changed = parameters?.get(name);
    if (stored) tensors.push(...packedTensors(module, stored));
    else if (changed) tensors.push({ name, dtype: 'F32', shape, values: changed.values });
    else tensors.push({ name, dtype: source.entry(name).dtype, shape, values: () => source.readBytes(name) });
  }
  for (const [index, layer] of activations.entries()) if (layer) tensors.push(...activationTensors(index, layer));
  return tensors;
}

async function writeExtra(
  dir: string,
  file: string,
  values: ReadonlyMap<string, DenseParameter> | undefined,
  signal: AbortSignal | undefined,
): Promise<WrittenFile[]> {
  if (!values || values.size === 0) return [];
  const tensors = [...values].map(([name, { values, shape }]): TensorToWrite => ({ name, dtype: 'F32', shape, values }));
  return [await writeSafetensors(join(dir, file), tensors, { signal })];
}

/** The source's config.json with the stored scheme. */
async function writeConfig(
  sourceDir: string,
  dir: string,
  { quantized, activations, untied }: QuantizedCheckpointOptions,
): Promise<WrittenFile> {
  const { quantization_config: _, ...config } = await readJsonObject(join(sourceDir, configFile), { code: 'model-invalid' });
  const added: JsonObject = quantized.size === 0 ? {} : { quantization_config: quantizationConfig(quantized, activations) };
  const head = untied ? { tie_word_embeddings: false } : {};
  return writeWholeFile(join(dir, configFile), `${JSON.stringify({ ...config, ...head, ...added }, null, 2)}\n`);
}

/** Copies tokenizer, template and generation settings, as far as the model has them. */
export async function copyCompanions(sourceDir: string, dir: string): Promise<WrittenFile[]> {
  const copied: WrittenFile[] = [];
  for (const name of companionFiles) {
    const bytes = await readFile(join(sourceDir, name)).catch((error: unknown) => {
      if ((error as { code?: unknown }).code === 'ENOENT') return null;
      throw fileError(join(sourceDir, name), error);
    });
    if (bytes) copied.push(await writeWholeFile(join(dir, name), bytes));
  }
  return copied;
}

/** What a written checkpoint folder holds. */
export function summarizeFolder(dir: string, written: readonly WrittenFile[]): SavedCheckpoint {
  const files = written.map(({ path, sha256, sizeBytes }) => ({ name: basename(path), sha256, sizeBytes }));
  files.sort((a, b) => (a.name < b.name ? -1 : 1));
  const hash = createHash('sha256');
  for (const file of files) hash.update(`${file.name} ${file.sha256}\n`);
  return {
    dir,
    sha256: hash.digest('hex'),
    sizeBytes: files.reduce((sum, file) => sum + file.sizeBytes, 0),
    weightBytes: files.filter(({ name }) => weightFile.test(name)).reduce((sum, file) => sum + file.sizeBytes, 0),
    files,
  };
}
