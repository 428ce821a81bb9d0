/**
 * Trains one model folder in a process of its own, so that its memory can be measured: `node train-child.ts JSON`, with the options below.
 * Prints the summary, or the error, as JSON in its last line.
 */
import type { BackendName } from '#contract/worker.ts';
import { selectBackend } from '../../src-main/engine/backends/select.ts';
import { readModelConfig } from '../../src-main/engine/model/config.ts';
import { loadTokenizer } from '../../src-main/engine/model/tokenizer.ts';
import { trainCheckpoint } from '../../src-main/engine/training/train-checkpoint.ts';
import { trainStageSchema } from '../../src-preload/contract/training.ts';

export interface TrainChildOptions {
  sourceDir: string;
  /** The run's own, unquantized model; the source by default. */
  baseDir?: string;
  outDir: string;
  /** Input of a train stage. */
  stage: unknown;
  /** wasm by default. */
  backend?: BackendName;
}

const { sourceDir, baseDir = sourceDir, outDir, stage, backend = 'wasm' } = JSON.parse(process.argv[2]!) as TrainChildOptions;
await selectBackend(backend);
const { vocabSize } = await readModelConfig(sourceDir);
const { summary } = await trainCheckpoint({
  ...{ sourceDir, baseDir, outDir, seed: 1, modelHash: 'child' },
  stage: trainStageSchema.parse(stage),
  tokenizer: await loadTokenizer(sourceDir, { vocabSize }),
});
console.log(JSON.stringify(summary));
process.exit(0);
