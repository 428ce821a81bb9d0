/** Makes the checkpoints that the cases read: random weights, the same rounded to W4G128 and NF4, and GGUF files where llama.cpp is to read them. */
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type QuantizeStage, quantizeStageSchema } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { selectBackend } from '../../engine/backends/select.ts';
import { writeCalibration } from '../../engine/bench/large.ts';
import { randomCheckpoint } from '../../engine/bench/random-checkpoint.ts';
import { type GgufFormat, writeGgufModel } from '../../engine/formats/exporters/gguf.ts';
import { openCheckpoint } from '../../engine/formats/safetensors.ts';
import { readModelConfig } from '../../engine/model/config.ts';
import { quantizeCheckpoint } from '../../engine/quantizers/streaming/quantize-checkpoint.ts';
import { casesWithoutModel, type PeerCaseId, type PeerSizes } from './cases.ts';
import type { PeerFiles } from './messages.ts';

/** What these cases read. Computes on `wasm`; what is there already is kept. */
export async function preparePeerFiles(sizes: PeerSizes, cases: readonly PeerCaseId[], gguf: boolean): Promise<PeerFiles> {
  const has = (id: PeerCaseId) => cases.includes(id);
  const files: PeerFiles = { dense: null, w4: null, nf4: null, ggufHalf: null, ggufQ4: null };
  if (cases.every((id) => casesWithoutModel.includes(id))) return files;
  await selectBackend('wasm');
  const dense = await randomCheckpoint(sizes.shapeName.split(' ')[0]!.toLowerCase(), sizes.shape);
  await writeCalibration(dense, sizes.gptq);
  return {
    dense,
    w4: has('decode-w4') ? await rounded(dense, 'rtn', 'W4G128') : null,
    nf4: has('decode-nf4') ? await rounded(dense, 'nf4', 'NF4') : null,
    ggufHalf: gguf && (has('decode-1') || has('decode-64')) ? await ggufFile(dense, 'gguf-f16') : null,
    ggufQ4: gguf && has('decode-w4') ? await ggufFile(dense, 'gguf-q4_0') : null,
  };
}

async function rounded(sourceDir: string, method: QuantizeStage['method'], scheme: string): Promise<string> {
  const outDir = `${sourceDir}-${scheme.toLowerCase()}`;
  if (await stat(join(outDir, 'model.safetensors')).catch(() => null)) return outDir;
  const stage = quantizeStageSchema.parse({ type: 'quantize', method, scheme: parseScheme(scheme) });
  const tokenizer = () => Promise.reject(new Error('nothing is calibrated'));
  await quantizeCheckpoint({ sourceDir, outDir, stage, seed: 0, modelHash: sourceDir, tokenizer, replace: true });
  return outDir;
}

async function ggufFile(dir: string, format: GgufFormat): Promise<string> {
  const type = format === 'gguf-f16' ? 'F16' : 'Q4_0';
  const known = (await readdir(dir)).find((name) => name.endsWith(`-${type}.gguf`));
  if (known) return join(dir, known);
  const config = await readModelConfig(dir);
  const checkpoint = await openCheckpoint(dir);
  try {
    const written = await writeGgufModel({ config, dir, readFloats: (name) => checkpoint.readFloats(name) }, dir, format, {
      name: 'bench',
    });
    return join(dir, basename(written.path));
  } finally {
    await checkpoint.close();
  }
}
