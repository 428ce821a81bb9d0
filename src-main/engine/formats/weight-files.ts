/** Writes a checkpoint's weights as one file, or as shards with an index, as Hugging Face does for large models. */
import { join } from 'node:path';
import { type WrittenFile, writeWholeFile } from './atomic-file.ts';
import { shardName, type TensorToWrite, weightsFile, weightsIndexFile, writeSafetensors } from './safetensors.ts';
import { tensorBytes } from './safetensors-write.ts';

/** Above this, weights are written as shards of at most this size. */
export const shardBytes = 4e9;

export interface WeightFilesOptions {
  metadata?: Record<string, string> | undefined;
  /** A tensor larger than this gets a shard of its own. */
  shardBytes?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** Writes `tensors`, cut into shards in their order, into the folder `dir`. */
export async function writeWeightFiles(
  dir: string,
  tensors: readonly TensorToWrite[],
  { metadata, signal, ...options }: WeightFilesOptions,
): Promise<WrittenFile[]> {
  const shards = intoShards(tensors, options.shardBytes ?? shardBytes);
  const writing = { ...(metadata ? { metadata } : {}), ...(signal ? { signal } : {}) };
  if (shards.length <= 1) return [await writeSafetensors(join(dir, weightsFile), tensors, writing)];
  const files: WrittenFile[] = [];
  const weightMap: Record<string, string> = {};
  for (const [index, shard] of shards.entries()) {
    const name = shardName(index + 1, shards.length);
    files.push(await writeSafetensors(join(dir, name), shard, writing));
    for (const tensor of shard) weightMap[tensor.name] = name;
  }
  const totalSize = tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
  const index = { metadata: { total_size: totalSize }, weight_map: weightMap };
  files.push(await writeWholeFile(join(dir, weightsIndexFile), `${JSON.stringify(index, null, 2)}\n`));
  return files;
}

function intoShards(tensors: readonly TensorToWrite[], limitBytes: number): TensorToWrite[][] {
  const shards: TensorToWrite[][] = [];
  let sizeBytes = Number.POSITIVE_INFINITY;
  for (const tensor of tensors) {
    sizeBytes += tensorBytes(tensor);
    if (sizeBytes > limitBytes) {
      shards.push([]);
      sizeBytes = tensorBytes(tensor);
    }
    shards.at(-1)!.push(tensor);
  }
  return shards;
}
