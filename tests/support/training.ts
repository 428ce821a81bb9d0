/** Train stages and data for tests, small enough for the tiny model. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TrainStage, trainStageSchema } from '#contract/training.ts';
import { resourcesDir } from './study-run.ts';

/** Worked problems with their answers, as training takes them: the first rows of the bundled calibration set. */
export function writeTrainingRows(file: string, rows = 48): string {
  const lines = readFileSync(path.join(resourcesDir, 'sample/calibration/abacus.jsonl'), 'utf8').split('\n').slice(0, rows);
  const examples = lines.map((line) => {
    const { prompt, completion } = JSON.parse(line) as { prompt: string; completion: string };
    return { problem: prompt, solution: completion, answer: /\\boxed\{(.*)\}/.exec(completion)?.[1] ?? '' };
  });
  writeFileSync(file, examples.map((example) => `${JSON.stringify(example)}\n`).join(''));
  return file;
}

/** Supervised training of all weights unless `change` says otherwise. */
export function trainStage(dataPath: string, change: Record<string, unknown> = {}): TrainStage {
  return trainStageSchema.parse({
    type: 'train',
    objective: { kind: 'sft' },
    trains: { kind: 'weights' },
    data: { path: dataPath, maxTokens: 150 },
    steps: 12,
    batchSize: 4,
    optimizer: { learningRate: 1e-3, warmupSteps: 2 },
    checkpointEvery: 3,
    ...change,
  });
}
