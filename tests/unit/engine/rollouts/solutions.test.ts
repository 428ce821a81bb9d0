import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CalibrationSettings, calibrationSchema } from '#contract/recipe.ts';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import type { LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import { loadModel } from '../../../../src-main/engine/model/load.ts';
import { loadTokenizer, type ModelTokenizer } from '../../../../src-main/engine/model/tokenizer.ts';
import { prepareCalibration } from '../../../../src-main/engine/quantizers/calibration-samples.ts';
import { sampleSolutions } from '../../../../src-main/engine/rollouts/solutions.ts';
import { testBackend } from '../../../support/test-backend.ts';

const sample = fileURLToPath(new URL('../../../../resources/sample', import.meta.url));
const problems = join(sample, 'benchmarks/abacus-sums.jsonl');
let model: LanguageModel;
let tokenizer: ModelTokenizer;
let folder: string;

beforeAll(async () => {
  await selectBackend(testBackend);
  model = await loadModel(join(sample, 'abacus'));
  tokenizer = await loadTokenizer(join(sample, 'abacus'));
  folder = mkdtempSync(join(tmpdir(), 'roundoff-solutions-'));
});
afterAll(() => {
  model.dispose();
  rmSync(folder, { recursive: true });
});

const settings = (changes: object = {}, path = problems): CalibrationSettings =>
  calibrationSchema.parse({
    path,
    samples: 8,
    sequenceLength: 64,
    seed: 3,
    solutions: { problems: 12, maxNewTokens: 128, ...changes },
  });

describe('sampleSolutions', () => {
  it('writes one solution per problem, the same for the same seeds', async () => {
    const first = await sampleSolutions(model, tokenizer, settings(), { runSeed: 1 });
    expect(first).toHaveLength(12);
    expect(first.every(({ completion }) => completion.includes('boxed'))).toBe(true);
    expect(await sampleSolutions(model, tokenizer, settings(), { runSeed: 1 })).toEqual(first);
    const other = await sampleSolutions(model, tokenizer, settings(), { runSeed: 2 });
    expect(other.map(({ problem }) => problem)).not.toEqual(first.map(({ problem }) => problem));
  });

  it('refuses solutions that do not fit the context, rows without a question, empty files', async () => {
    const refused = (calibration: CalibrationSettings) => sampleSolutions(model, tokenizer, calibration, { runSeed: 1 });
    await expect(refused(settings({ maxNewTokens: 512 }))).rejects.toMatchObject({ code: 'bad-input', hint: expect.stringMatching(/\d/) });
    const path = join(folder, 'rows.jsonl');
    writeFileSync(path, '{"problem": "1+1?"}\n{"text": "x"}\n');
    await expect(refused(settings({}, path))).rejects.toMatchObject({
      code: 'dataset-invalid',
      message: expect.stringContaining('line 2'),
    });
    writeFileSync(path, '');
    await expect(refused(settings({}, path))).rejects.toMatchObject({ code: 'dataset-invalid' });
  });

  it('stops when cancelled', async () => {
    const signal = AbortSignal.abort();
    await expect(sampleSolutions(model, tokenizer, settings(), { runSeed: 1, signal })).rejects.toMatchObject({ code: 'cancelled' });
  });
});

describe('prepareCalibration', () => {
  const prepare = (calibration: CalibrationSettings) =>
    prepareCalibration(calibration, { tokenizer, model: async () => model, runSeed: 1 });

  it('crops samples out of the solutions and records where they come from', async () => {
    const before = tf.memory().numTensors;
    const { samples, record, solutions } = await prepare(settings());
    expect(samples.map((ids) => ids.length)).toEqual(Array(8).fill(64));
    const all = solutions!.flatMap(({ ids }) => ids).join();
    for (const ids of samples) expect(all).toContain(ids.join());
    expect(record).toEqual({ path: problems, domain: 'abacus-sums', source: 'solutions', samples: 8, sequenceLength: 64, seed: 3 });
    expect(tf.memory().numTensors).toBe(before);
  });

  it('says when the solutions are shorter than one sample', async () => {
    const calibration = { ...settings({ problems: 1, maxNewTokens: 4 }), sequenceLength: 500 };
    await expect(prepare(calibration)).rejects.toMatchObject({ code: 'calibration-too-short' });
  });

  it('reads text files without asking for the model', async () => {
    const calibration = { path: join(sample, 'calibration/general.jsonl'), samples: 2, sequenceLength: 32, seed: 0, domain: 'news' };
    const { samples, record, solutions } = await prepareCalibration(calibration, {
      tokenizer,
      model: () => Promise.reject(new Error('not needed')),
      runSeed: 1,
    });
    expect(samples).toHaveLength(2);
    expect(solutions).toBeNull();
    expect(record).toMatchObject({ domain: 'news', source: 'text' });
  });
});
