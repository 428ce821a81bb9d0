/** Writes a model with a LoRA adapter: the files of the base, byte for byte, and the adapter beside them. */
import { access } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { throwIfCancelled } from '../data/cancellation.ts';
import { type AdapterMatrices, type AdapterSettings, writeAdapter } from '../formats/adapter.ts';
import { copyFileTo, type WrittenFile, writeFolderAtomically } from '../formats/atomic-file.ts';
import { companionFiles, type SavedCheckpoint, summarizeFolder } from '../formats/quantized-checkpoint.ts';
import { openCheckpoint, weightsIndexFile } from '../formats/safetensors.ts';
import { configFile, type ModelConfig } from '../model/config.ts';
import type { SaveOptions } from './trainee.ts';

export interface AdaptedModel {
  /** Folder of the base; an adapter there is not copied. */
  sourceDir: string;
  config: ModelConfig;
  settings: AdapterSettings;
  /** By module. */
  matrices: ReadonlyMap<string, AdapterMatrices>;
}

/** Throws `disk-full`, `read-only`, `cancelled`. */
export async function saveAdaptedModel(
  dir: string,
  { sourceDir, config, settings, matrices }: AdaptedModel,
  { metadata, replace, signal }: SaveOptions,
): Promise<SavedCheckpoint> {
  const base = await baseFiles(sourceDir);
  const produce = async (temporary: string) => {
    const files: WrittenFile[] = [];
    for (const name of base) {
      throwIfCancelled(signal, 'Saving the model');
      files.push(await copyFileTo(temporary, join(sourceDir, name)));
    }
    const options = { baseModel: basename(sourceDir), metadata, ...(signal ? { signal } : {}) };
    return [...files, ...(await writeAdapter(temporary, config, settings, matrices, options))];
  };
  return summarizeFolder(dir, await writeFolderAtomically(dir, produce, { replace }));
}

async function baseFiles(dir: string): Promise<string[]> {
  const checkpoint = await openCheckpoint(dir);
  const weights = checkpoint.files.map(({ name }) => name);
  await checkpoint.close();
  const others = [configFile, weightsIndexFile, 'quantize_config.json', ...companionFiles];
  const present: string[] = [];
  for (const name of others)
    if (
      await access(join(dir, name)).then(
        () => true,
        () => false,
      )
    )
      present.push(name);
  return [...weights, ...present];
}
