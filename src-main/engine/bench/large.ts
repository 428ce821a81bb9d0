/**
 * GPTQ of a whole model with random weights, by default of Qwen3-0.6B's shape: 4 bits, groups of 128, asymmetric, no range search,
 * true-sequential, 128 samples of 512 tokens. The clock covers everything from opening the folder to the finished checkpoint.
 */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { quantizeStageSchema } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { RandomStream } from '../data/random-stream.ts';
import { writeWholeFile } from '../formats/atomic-file.ts';
import { readModelConfig } from '../model/config.ts';
import { quantizeCheckpoint } from '../quantizers/streaming/quantize-checkpoint.ts';
import { modelShapes, randomCheckpoint } from './random-checkpoint.ts';

/** Calibration tokens as little-endian int32, for us and for PyTorch. */
const tokensFile = 'calibration-tokens.i32';

/** Samples and their length, for calibration. */
export interface CalibrationSize {
  samples: number;
  sequenceLength: number;
}

export const fullCalibration: CalibrationSize = { samples: 128, sequenceLength: 512 };

/** A random checkpoint of Qwen3-0.6B's shape with `layers` decoder layers, and calibration tokens beside it; made once per number of layers. */
export async function largeCheckpoint(layers: number): Promise<string> {
  const dir = await randomCheckpoint('qwen3-0.6b', { ...modelShapes['qwen3-0.6b'], layers });
  await writeCalibration(dir, fullCalibration);
  return dir;
}

/** Random tokens of the model in `dir`, for us and for PyTorch. */
export async function writeCalibration(dir: string, { samples, sequenceLength }: CalibrationSize): Promise<void> {
  const { vocabSize } = await readModelConfig(dir);
  const draws = new RandomStream(1, 'bench', 'large-tokens');
  const tokens = Int32Array.from({ length: samples * sequenceLength }, () => draws.integer(0, vocabSize - 1));
  await writeWholeFile(join(dir, tokensFile), new Uint8Array(tokens.buffer));
}

/** Quantizes the checkpoint in `dir` on the active backend and removes the result. */
export async function benchLargeGptq(
  dir: string,
  onProgress: (text: string) => void,
  { samples, sequenceLength }: CalibrationSize = fullCalibration,
): Promise<{ value: number; unit: 'minutes' }> {
  const bytes = await readFile(join(dir, tokensFile));
  const ids = new Int32Array(new Uint8Array(bytes).buffer);
  const tokens = Array.from({ length: samples }, (_, row) => ids.slice(row * sequenceLength, (row + 1) * sequenceLength));
  const outDir = `${dir}-gptq`;
  for (const folder of [outDir, `${outDir}.work`]) await rm(folder, { recursive: true, force: true });
  const stage = quantizeStageSchema.parse({
    type: 'quantize',
    method: 'gptq',
    scheme: parseScheme('W4G128'),
    calibration: { path: 'random', samples, sequenceLength, seed: 0 },
    options: { mseSearch: false },
  });
  const start = performance.now();
  await quantizeCheckpoint({
    sourceDir: dir,
    outDir,
    stage,
    seed: 0,
    samples: tokens,
    modelHash: dir,
    tokenizer: () => Promise.reject(new Error('samples are given')),
    onLog: onProgress,
    onProgress: ({ done, total }) =>
      onProgress(`${done} of ${total} linears after ${((performance.now() - start) / 60_000).toFixed(2)} minutes`),
  });
  const minutes = (performance.now() - start) / 60_000;
  await rm(outDir, { recursive: true, force: true });
  return { value: minutes, unit: 'minutes' };
}
