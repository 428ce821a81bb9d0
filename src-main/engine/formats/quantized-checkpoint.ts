/**
 * Writes a quantized model as a folder that stands on its own: `roundoff` (packed codes, loads here) or `dequantized` (a plain Hugging
 * Face checkpoint with the rounded weights, loads in transformers). Everything that was not quantized is copied byte for byte from the
 * source model, tokenizer and templates included, so the reloaded model computes exactly what the quantized one did. Without quantized
 * linears the folder is a plain copy of the model.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import type { ExportFormat } from '#contract/recipe.ts';
import { fileError, type JsonObject, readJsonObject } from '../data/json-file.ts';
import { configFile, type ModelConfig, readModelConfig } from '../model/config.ts';
import { decoderLinears, linearShape, parameterShapes } from '../model/parameters.ts';
import { type WrittenFile, writeFolderAtomically, writeWholeFile } from './atomic-file.ts';
import { dequantizeLinear, type PackedLinear } from './packed-linear.ts';
import { packedTensors, quantizationConfig } from './quantized-layout.ts';
import { type Checkpoint, openCheckpoint, type TensorToWrite, weightsFile, writeSafetensors } from './safetensors.ts';

export interface QuantizedCheckpointOptions {
  /** Folder of the model that was quantized; what is not in `quantized` comes from here. */
  sourceDir: string;
  /** Quantized linears by module name. */
  quantized: ReadonlyMap<string, PackedLinear>;
  format?: ExportFormat;
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
  /** Bytes of the weights file. */
  weightBytes: number;
  files: { name: string; sha256: string; sizeBytes: number }[];
}

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
  const { sourceDir, quantized, format = 'roundoff', metadata, replace = false, signal } = options;
  const config = await readModelConfig(sourceDir);
  checkModules(config, quantized);
  const source = await openCheckpoint(sourceDir);
  try {
    checkSource(source, config, quantized);
    const tensors = listTensors(source, config, quantized, format);
    const files = await writeFolderAtomically(
      dir,
      async (temporary) => [
        await writeSafetensors(join(temporary, weightsFile), tensors, { metadata, signal }),
        await writeConfig(sourceDir, temporary, quantized, format),
        ...(await copyCompanions(sourceDir, temporary)),
      ],
      { replace },
    );
    return summarize(dir, files);
  } finally {
    await source.close();
  }
}

function checkModules(config: ModelConfig, quantized: ReadonlyMap<string, PackedLinear>): void {
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

/** A source that is itself packed has no float weights to copy: all its packed modules must be given. */
function checkSource(source: Checkpoint, config: ModelConfig, quantized: ReadonlyMap<string, PackedLinear>): void {
  const missing = decoderLinears(config).filter((module) => !quantized.has(module) && source.has(`${module}.codes`));
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
  quantized: ReadonlyMap<string, PackedLinear>,
  format: ExportFormat,
): TensorToWrite[] {
  const tensors: TensorToWrite[] = [];
  for (const [name, shape] of parameterShapes(config)) {
    const module = name.replace(/\.weight$/, '');
    const packed = name.endsWith('.weight') ? quantized.get(module) : undefined;
    if (packed && format === 'roundoff') tensors.push(...packedTensors(module, packed));
    else if (packed) tensors.push({ name, dtype: 'F32', shape, values: () => dequantizeLinear(packed) });
    else tensors.push({ name, dtype: source.entry(name).dtype, shape, values: () => source.readBytes(name) });
  }
  return tensors;
}

/** The source's config.json with the stored scheme; dequantized weights are exact in float32 only, so that is their type. */
async function writeConfig(
  sourceDir: string,
  dir: string,
  quantized: ReadonlyMap<string, PackedLinear>,
  format: ExportFormat,
): Promise<WrittenFile> {
  const { quantization_config: _, ...config } = await readJsonObject(join(sourceDir, configFile), { code: 'model-invalid' });
  const stored: JsonObject =
    format === 'roundoff' ? { quantization_config: quantizationConfig(quantized) } : { dtype: 'float32', torch_dtype: 'float32' };
  const added = quantized.size === 0 ? {} : stored;
  return writeWholeFile(join(dir, configFile), `${JSON.stringify({ ...config, ...added }, null, 2)}\n`);
}

async function copyCompanions(sourceDir: string, dir: string): Promise<WrittenFile[]> {
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

function summarize(dir: string, written: WrittenFile[]): SavedCheckpoint {
  const files = written.map(({ path, sha256, sizeBytes }) => ({ name: basename(path), sha256, sizeBytes }));
  files.sort((a, b) => (a.name < b.name ? -1 : 1));
  const hash = createHash('sha256');
  for (const file of files) hash.update(`${file.name} ${file.sha256}\n`);
  return {
    dir,
    sha256: hash.digest('hex'),
    sizeBytes: files.reduce((sum, file) => sum + file.sizeBytes, 0),
    weightBytes: files.find((file) => file.name === weightsFile)!.sizeBytes,
    files,
  };
}
