/** What every export format is to the dispatcher in export.ts, and what several of them share. */
import { join } from 'node:path';
import type { JsonObject } from '../../data/json-file.ts';
import { configFile } from '../../model/config.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import { embeddingName } from '../../model/parameters.ts';
import { type WrittenFile, writeWholeFile } from '../atomic-file.ts';
import type { ExportSource } from '../export-source.ts';
import { copyCompanions } from '../quantized-checkpoint.ts';
import { type TensorToWrite, weightsFile, writeSafetensors } from '../safetensors.ts';
import type { StoredLinear } from '../stored-linear.ts';

export interface WriteOptions {
  /** Notes for the header of the weights file. */
  metadata?: Record<string, string> | undefined;
  signal?: AbortSignal | undefined;
  /** What the model is called, for files that carry a name; the source folder's name when left out. */
  modelName?: string | undefined;
  /** Told what differs in the export from the model it was made from. */
  onLog?: ((message: string) => void) | undefined;
}

/** The same float32 weights: only the order of summation may differ between ways to compute a linear. */
export const exactShare = 1e-5;

export interface Exporter {
  /** Why this format cannot express the model: one line per module, remedy included. Empty when it can. Nothing is written. */
  problems(source: ExportSource): string[] | Promise<string[]>;
  /**
   * How far the format's own rounding may move the logits, as a share of one plus the largest logit; `exactShare` when left out. The
   * export fails when the files, read back, give a larger difference.
   */
  allowedShare?: number;
  /**
   * Rounds the model's weights as the format does, in place, for formats with grids of their own: the export, read back, must then be this
   * model, and what the rounding costs is told.
   */
  round?(model: LanguageModel): Promise<void>;
  /** Reads what `write` wrote; `loadModel` when left out. */
  load?(dir: string, options: { source: ExportSource; signal?: AbortSignal | undefined }): Promise<LanguageModel>;
  /** Writes all files of the export into an empty folder. Asked only after `problems` found none. */
  write(source: ExportSource, temporaryDir: string, options: WriteOptions): Promise<WrittenFile[]>;
}

/** The weights file, config.json with `changes`, and the tokenizer's files: a Hugging Face folder. */
export async function writeModelFolder(
  source: ExportSource,
  dir: string,
  { tensors, changes }: { tensors: readonly TensorToWrite[]; changes: JsonObject },
  options: WriteOptions,
): Promise<WrittenFile[]> {
  const { metadata, signal } = options;
  return [
    await writeSafetensors(join(dir, weightsFile), tensors, { ...(metadata ? { metadata } : {}), ...(signal ? { signal } : {}) }),
    await writeWholeFile(join(dir, configFile), `${JSON.stringify({ ...source.json, ...changes }, null, 2)}\n`),
    ...(await copyCompanions(source.dir, dir)),
  ];
}

/** The parameters that are not stored as codes, as they are. A parameter that quantization changed is F32; loaders cast it to the model's type. */
export function denseTensors(source: ExportSource): TensorToWrite[] {
  return [...source.denseParameters()].map(([name, shape]) => copiedTensor(source, name, shape));
}

/** The tensors of one module, each fetched anew when its turn comes to be written. */
export async function lazyTensors(
  source: ExportSource,
  module: string,
  tensorsOf: (linear: StoredLinear) => TensorToWrite[],
): Promise<TensorToWrite[]> {
  return tensorsOf(await source.readStored(module)).map(({ name, dtype, shape }) => ({
    name,
    dtype,
    shape,
    async values() {
      const { values } = tensorsOf(await source.readStored(module)).find((tensor) => tensor.name === name)!;
      return typeof values === 'function' ? values() : values;
    },
  }));
}

/** The type the source model computes in elsewhere: what config.json says, else that of its embeddings. */
export function modelDtype(source: ExportSource): 'float32' | 'float16' | 'bfloat16' {
  const named = source.json.dtype ?? source.json.torch_dtype;
  if (named === 'float32' || named === 'float16' || named === 'bfloat16') return named;
  const stored = source.dtype(embeddingName);
  return stored === 'F16' ? 'float16' : stored === 'BF16' ? 'bfloat16' : 'float32';
}

/** A dense parameter as it is stored, byte for byte. */
export function copiedTensor(source: ExportSource, name: string, shape: readonly number[]): TensorToWrite {
  return { name, dtype: source.dtype(name), shape, values: () => source.readBytes(name) };
}
