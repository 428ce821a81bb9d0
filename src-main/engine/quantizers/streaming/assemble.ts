/** Puts the finished parts of a quantization together into a `roundoff` checkpoint, tensor by tensor, bytes as they are. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type JsonObject, readJsonObject } from '../../data/json-file.ts';
import { type WrittenFile, writeFolderAtomically, writeWholeFile } from '../../formats/atomic-file.ts';
import { ProblemList } from '../../formats/problems.ts';
import { copyCompanions, latentsFile, type SavedCheckpoint, summarizeFolder, trainedFile } from '../../formats/quantized-checkpoint.ts';
import { type Checkpoint, openCheckpoint, openFiles, type TensorToWrite, writeSafetensors } from '../../formats/safetensors.ts';
import { writeWeightFiles } from '../../formats/weight-files.ts';
import { configFile, readModelConfig } from '../../model/config.ts';
import { parameterShapes } from '../../model/parameters.ts';
import type { PartRecord } from './work-folder.ts';

export interface AssembleOptions {
  sourceDir: string;
  /** Folders and records of the finished parts: the globals if any, then the layers. */
  globals: { dir: string; record: PartRecord } | null;
  layers: { dir: string; record: PartRecord }[];
  metadata?: Record<string, string>;
  /** Weights above this are written as shards of at most this size. */
  shardBytes?: number | undefined;
  replace?: boolean;
  signal?: AbortSignal;
}

/** Writes the folder `dir`, whole or not at all. */
export async function assembleCheckpoint(dir: string, options: AssembleOptions): Promise<SavedCheckpoint> {
  const { sourceDir, globals, layers, metadata, shardBytes, replace = false, signal } = options;
  const open: Checkpoint[] = [];
  const opened = async (checkpoint: Promise<Checkpoint>) => {
    const ready = await checkpoint;
    open.push(ready);
    return ready;
  };
  try {
    const source = await opened(openCheckpoint(sourceDir));
    const parts: Checkpoint[] = [];
    for (const part of [...(globals ? [globals] : []), ...layers]) parts.push(await opened(openCheckpoint(part.dir)));
    const sourceConfig = await readModelConfig(sourceDir);
    const config = { ...sourceConfig, tiedEmbeddings: sourceConfig.tiedEmbeddings && !globals?.record.untied };
    const quantized = new Set(layers.flatMap(({ record }) => Object.keys(record.modules)));
    const tensors = parts.flatMap((part) => [...part.tensors.keys()].map((name) => copied(part, name)));
    const made = new Set(tensors.map(({ name }) => name));
    for (const name of parameterShapes(config).keys()) {
      if (!made.has(name) && !quantized.has(name.replace(/\.weight$/, ''))) tensors.push(copied(source, name));
    }
    const cancellation = signal ? { signal } : {};
    const produce = async (temporary: string) => {
      const files = await writeWeightFiles(temporary, inLayerOrder(tensors), { metadata, shardBytes, signal });
      for (const name of [trainedFile, latentsFile]) {
        const written = await gather(temporary, name, layers, opened, cancellation);
        if (written) files.push(written);
      }
      files.push(await writeConfig(sourceDir, temporary, options), ...(await copyCompanions(sourceDir, temporary)));
      return files;
    };
    return summarizeFolder(dir, await writeFolderAtomically(dir, produce, { replace }));
  } finally {
    for (const checkpoint of open) await checkpoint.close();
  }
}

/** Shards are cut in this order: what belongs to a layer stays together, and what lies outside the layers comes first. */
function inLayerOrder(tensors: readonly TensorToWrite[]): TensorToWrite[] {
  const layer = ({ name }: TensorToWrite) => Number(/^model\.layers\.(\d+)\./.exec(name)?.[1] ?? -1);
  return [...tensors].sort((a, b) => layer(a) - layer(b));
}

function copied(checkpoint: Checkpoint, name: string): TensorToWrite {
  const { dtype, shape } = checkpoint.entry(name);
  return { name, dtype, shape, values: () => checkpoint.byteChunks(name) };
}

/** One file of this name out of those that layers left; null when there are none. */
async function gather(
  dir: string,
  name: string,
  layers: readonly { dir: string }[],
  opened: (checkpoint: Promise<Checkpoint>) => Promise<Checkpoint>,
  options: { signal?: AbortSignal },
): Promise<WrittenFile | null> {
  const tensors: TensorToWrite[] = [];
  for (const layer of layers) {
    if (!(await stat(join(layer.dir, name)).catch(() => null))) continue;
    const problems = new ProblemList();
    const part = await opened(openFiles(layer.dir, [name], problems));
    problems.throwErrors(layer.dir);
    for (const tensor of part.tensors.keys()) tensors.push(copied(part, tensor));
  }
  return tensors.length === 0 ? null : writeSafetensors(join(dir, name), tensors, options);
}

async function writeConfig(sourceDir: string, dir: string, { globals, layers }: AssembleOptions): Promise<WrittenFile> {
  const { quantization_config: _, ...config } = await readJsonObject(join(sourceDir, configFile), { code: 'model-invalid' });
  const modules: JsonObject = {};
  for (const { record } of layers) Object.assign(modules, inOrder(record.modules));
  const activations = layers.map(({ record }) => record.activations);
  const section = {
    quant_method: 'roundoff',
    format_version: 2,
    modules,
    ...(activations.some((layer) => layer !== null) ? { layers: activations } : {}),
  };
  const added: JsonObject = Object.keys(modules).length === 0 ? {} : { quantization_config: section };
  const head = globals?.record.untied ? { tie_word_embeddings: false } : {};
  return writeWholeFile(join(dir, configFile), `${JSON.stringify({ ...config, ...head, ...added }, null, 2)}\n`);
}

const order = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];

/** Modules in execution order, whatever order a method took them in. */
function inOrder(modules: JsonObject): JsonObject {
  const place = (name: string) => order.findIndex((linear) => name.endsWith(linear));
  return Object.fromEntries(Object.entries(modules).sort(([a], [b]) => place(a) - place(b)));
}
