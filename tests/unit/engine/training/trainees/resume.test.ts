/** Whole train stages of every kind: stopped and continued, the trained folder is the same to the last bit, and it loads. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseScheme } from '#contract/scheme.ts';
import type { TrainStage } from '#contract/training.ts';
import { selectBackend } from '../../../../../src-main/engine/backends/select.ts';
import { loadModel } from '../../../../../src-main/engine/model/load.ts';
import type { ModelTokenizer } from '../../../../../src-main/engine/model/tokenizer.ts';
import { trainCheckpoint } from '../../../../../src-main/engine/training/train-checkpoint.ts';
import { goldenModel } from '../../../../golden/fixtures.ts';
import { testBackend } from '../../../../support/test-backend.ts';
import { fresh, quantizedFolder, trainStage } from './support.ts';

const baseDir = goldenModel('qwen3-tied').dir;
const dataPath = fresh('texts.jsonl');
/** A character per token, in the golden models' vocabulary of 96. */
const tokenizer = { encode: (text: string) => [...text].map((letter) => 3 + (letter.codePointAt(0)! % 90)) } as unknown as ModelTokenizer;

beforeAll(async () => {
  await selectBackend(testBackend);
  const texts = Array.from({ length: 24 }, (_, i) => `${i} times ${i + 3} is ${i * (i + 3)}${'.'.repeat(i % 5)}`);
  await writeFile(dataPath, texts.map((text) => JSON.stringify({ text })).join('\n'));
});

function stageOf(trains: Parameters<typeof trainStage>[0]['trains'], more: object = {}): TrainStage {
  const data = { path: dataPath };
  return trainStage({ trains, data, steps: 5, batchSize: 2, accumulation: 2, checkpointEvery: 2, probes: true, ...more });
}

function train(stage: TrainStage, sourceDir: string, outDir: string, stopAfter?: number) {
  const abort = new AbortController();
  const onStep = ({ step }: { step: number }) => {
    if (step === stopAfter) abort.abort();
  };
  return trainCheckpoint({ sourceDir, baseDir, outDir, stage, seed: 4, modelHash: 'x', tokenizer, signal: abort.signal, onStep });
}

describe('stopped and continued equals undisturbed', () => {
  it.each([
    [
      'quantized',
      async () => baseDir,
      { kind: 'quantized', scheme: parseScheme('W3G16') },
      { quantizationStart: { kind: 'ramp', from: 1, to: 4 } },
    ],
    ['quantized', () => quantizedFolder('gptq', 'W3G16', { keepLatents: true }), { kind: 'quantized', scales: 'frozen' }, {}],
    ['lora', () => quantizedFolder('nf4', 'NF4:double'), { kind: 'lora', rank: 4, dropout: 0.2 }, {}],
    ['flatquant', () => quantizedFolder('flatquant', 'W4A4KV4', { epochs: 1, batchSize: 2 }), { kind: 'flatquant' }, {}],
  ] as const)('%s', async (kind, source, trains, more) => {
    const sourceDir = await source();
    const stage = stageOf(trains, more);
    const [whole, parts] = [fresh('whole'), fresh('parts')];
    const { checkpoint, summary } = await train(stage, sourceDir, whole);
    await expect(train(stage, sourceDir, parts, 3)).rejects.toMatchObject({ code: 'cancelled' });
    expect(existsSync(parts)).toBe(false);
    const continued = await train(stage, sourceDir, parts);
    expect(continued.checkpoint.sha256).toBe(checkpoint.sha256);
    expect(existsSync(`${parts}.work`)).toBe(false);
    expect(summary.trains).toBe({ quantized: 'QAT', lora: 'QLoRA', flatquant: 'FlatQuant QAT' }[kind]);
    expect(summary.bitsPerWeight).toBeGreaterThan(3);
    expect(summary.last['gradient-variance']).toBeGreaterThan(0);
    (await loadModel(parts)).dispose();
  });
});
