/** What every export format is to the dispatcher in export.ts, and what several of them share. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError, type JsonObject } from '../../data/json-file.ts';
import { configFile } from '../../model/config.ts';
import { type WrittenFile, writeWholeFile } from '../atomic-file.ts';
import type { ExportSource } from '../export-source.ts';
import { companionFiles } from '../quantized-checkpoint.ts';
import { type TensorToWrite, weightsFile, writeSafetensors } from '../safetensors.ts';

export interface WriteOptions {
  /** Notes for the header of the weights file. */
  metadata?: Record<string, string> | undefined;
  signal?: AbortSignal | undefined;
}

export interface Exporter {
  /** Why this format cannot express the model: one line per module, remedy included. Empty when it can. Nothing is written. */
  problems(source: ExportSource): string[] | Promise<string[]>;
  /** Writes all files of the export into an empty folder. Asked only after `problems` found none. */
  write(source: ExportSource, temporaryDir: string, options: WriteOptions): Promise<WrittenFile[]>;
}

/** Formats that hold weights only say so here. */
export function activationProblems(source: ExportSource): string[] {
  return Array.from({ length: source.config.layers }, (_, index) => index)
    .filter((index) => source.hasActivations(index))
    .map(
      (index) =>
        `model.layers.${index}: its activations, keys or values are transformed or quantized, which only a "roundoff" checkpoint holds`,
    );
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

/** A dense parameter as it is stored, byte for byte. */
export function copiedTensor(source: ExportSource, name: string, shape: readonly number[]): TensorToWrite {
  return { name, dtype: source.dtype(name), shape, values: () => source.readBytes(name) };
}
