/** What training is said to need beside what it takes, each in a process of its own on the bundled model. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { parseScheme } from '#contract/scheme.ts';
import type { TrainSummary } from '#contract/worker.ts';
import { resourcesDir } from '../support/study-run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const folder = temporaryFolder('training-memory');
const child = path.resolve(import.meta.dirname, '../support/train-child.ts');
const data = { path: path.join(resourcesDir, 'sample/training/abacus.jsonl'), limit: 2000, maxTokens: 256 };
const common = { type: 'train', data, steps: 17, optimizer: { learningRate: 1e-5 } };
const w3 = parseScheme('W3G32');

async function train(name: string, stage: object): Promise<TrainSummary> {
  const options = { sourceDir: path.join(resourcesDir, 'sample/abacus'), outDir: path.join(folder, name), stage };
  const { stdout } = await promisify(execFile)(process.execPath, [child, JSON.stringify(options)], { maxBuffer: 1e8 });
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as TrainSummary;
}

describe('the memory that training takes', () => {
  it.each([
    ['few sequences', { ...common, objective: { kind: 'sft' }, trains: { kind: 'weights' }, batchSize: 8 }],
    ['many sequences', { ...common, objective: { kind: 'sft' }, trains: { kind: 'weights' }, batchSize: 48 }],
    ['accumulation', { ...common, objective: { kind: 'sft' }, trains: { kind: 'weights' }, batchSize: 16, accumulation: 2 }],
    ['distillation of rounded weights', { ...common, objective: { kind: 'kd' }, trains: { kind: 'quantized', scheme: w3 }, batchSize: 24 }],
    ['LoRA', { ...common, objective: { kind: 'sft' }, trains: { kind: 'lora' }, batchSize: 24 }],
    [
      'GRPO',
      {
        ...common,
        steps: 4,
        objective: { kind: 'rl', promptsPerStep: 6, groupSize: 8, maxNewTokens: 128 },
        trains: { kind: 'weights' },
        batchSize: 24,
      },
    ],
  ])('is estimated within 20 %% for %s', async (name, stage) => {
    const { peakMemoryBytes, estimatedMemoryBytes } = await train(name.replaceAll(' ', '-'), stage);
    console.log(`${name}: ${Math.round(peakMemoryBytes / 1e6)} MB at most, ${Math.round(estimatedMemoryBytes! / 1e6)} MB estimated`);
    expect(estimatedMemoryBytes! / peakMemoryBytes).toBeGreaterThan(0.8);
    expect(estimatedMemoryBytes! / peakMemoryBytes).toBeLessThan(1.2);
  });
});
