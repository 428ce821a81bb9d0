/**
 * Quantizes one model folder in a process of its own, so that it can be killed, or its memory measured: `node quantize-child.ts JSON`, with
 * the options below. Prints a line per finished linear and, as the last line, the result or the error as JSON.
 */
import type { BackendName } from '#contract/worker.ts';
import { selectBackend } from '../../src-main/engine/backends/select.ts';
import { RandomStream } from '../../src-main/engine/data/random-stream.ts';
import { quantizeCheckpoint } from '../../src-main/engine/quantizers/streaming/quantize-checkpoint.ts';
import { calibrationOf, quantizeStageSchema } from '../../src-preload/contract/recipe.ts';

export interface ChildOptions {
  sourceDir: string;
  outDir: string;
  /** Input of a quantize stage; its calibration says how many random tokens are used. */
  stage: unknown;
  vocabSize: number;
  /** wasm by default. */
  backend?: BackendName;
}

const { sourceDir, outDir, stage: input, vocabSize, backend = 'wasm' } = JSON.parse(process.argv[2]!) as ChildOptions;
const stage = quantizeStageSchema.parse(input);
const { samples, sequenceLength } = calibrationOf(stage) ?? { samples: 0, sequenceLength: 0 };
const tokens = new RandomStream(3, 'tokens');
const ids = Array.from({ length: samples }, () => Int32Array.from({ length: sequenceLength }, () => tokens.integer(0, vocabSize - 1)));
await selectBackend(backend);
try {
  const result = await quantizeCheckpoint({
    sourceDir,
    outDir,
    stage,
    samples: ids,
    seed: 0,
    modelHash: 'child',
    tokenizer: () => Promise.reject(new Error('samples are given')),
    onProgress: ({ done, detail }) => console.log(`${done} ${detail}`),
  });
  const { saved, peakMemoryBytes, estimatedMemoryBytes, peakGpuMemoryBytes, estimatedGpuMemoryBytes } = result;
  const memory = { peakMemoryBytes, estimatedMemoryBytes, peakGpuMemoryBytes, estimatedGpuMemoryBytes };
  console.log(JSON.stringify({ sha256: saved.sha256, ...memory }));
} catch (error) {
  const { code, message } = error as { code?: string; message: string };
  console.log(JSON.stringify({ code, message }));
}
process.exit(0);
