/** Small model folders for tests: copies of a golden model that a test may damage, and quantized linears made from real weights. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { groupCount, type PackedLinear, roundScales } from '../../../src-main/engine/formats/packed-linear.ts';
import type { LanguageModel } from '../../../src-main/engine/model/language-model.ts';
import { type GoldenName, goldenModel } from '../../golden/fixtures.ts';

const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'roundoff-test-'));
  folders.push(folder);
  return folder;
}

/** A copy of a golden model in a temporary folder. */
export async function copyOfModel(name: GoldenName): Promise<string> {
  const dir = join(await temporaryFolder(), name);
  await cp(goldenModel(name).dir, dir, { recursive: true });
  return dir;
}

/** Changes fields of a JSON file; undefined removes one. */
export async function patchJson(path: string, changes: Record<string, unknown>): Promise<void> {
  const json = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  await writeFile(path, JSON.stringify({ ...json, ...changes }));
}

/** Rounds a linear of the model to an asymmetric grid over each group's range. */
export async function roundLinear(
  model: LanguageModel,
  module: string,
  bits: PackedLinear['bits'],
  groupSize: number,
): Promise<PackedLinear> {
  const tensor = model.linear(module).weight();
  const [outFeatures, inFeatures] = tensor.shape;
  const weights = await tensor.data<'float32'>();
  tensor.dispose();
  const groups = groupCount(inFeatures, groupSize);
  const scales = new Float32Array(outFeatures * groups);
  const zeros = new Uint8Array(scales.length);
  const codes = new Uint8Array(weights.length);
  const largest = 2 ** bits - 1;
  for (let index = 0; index < scales.length; index++) {
    const start = Math.floor(index / groups) * inFeatures + (index % groups) * groupSize;
    const group = weights.subarray(start, Math.min(start + groupSize, (Math.floor(index / groups) + 1) * inFeatures));
    const [low, high] = [Math.min(0, ...group), Math.max(0, ...group)];
    const scale = roundScales(Float32Array.of((high - low) / largest))[0]!;
    scales[index] = scale;
    zeros[index] = Math.min(largest, Math.round(-low / scale));
    for (let i = 0; i < group.length; i++) codes[start + i] = Math.max(0, Math.min(largest, Math.round(group[i]! / scale) + zeros[index]!));
  }
  return { bits, symmetric: false, outFeatures, inFeatures, groupSize, codes, scales, zeros, groupIndex: null };
}
