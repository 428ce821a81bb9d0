import { createHash } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type StudySpec, studySpecSchema } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import type { Project } from '../../../src-main/project/project.ts';
import { createProject } from '../../../src-main/project/project.ts';
import { linkDataset, saveDataset } from '../../../src-main/project/repositories/datasets.ts';
import { saveModel } from '../../../src-main/project/repositories/models.ts';
import { saveRecipe } from '../../../src-main/project/repositories/recipes.ts';
import { findRun, insertRun, updateRun } from '../../../src-main/project/repositories/runs.ts';
import { compareSamples, insertSample, recordedSamples } from '../../../src-main/project/repositories/samples.ts';
import { insertStudy } from '../../../src-main/project/repositories/studies.ts';
import { expandStudy } from '../../../src-main/runs/expand-study.ts';
import { reuseSamples } from '../../../src-main/runs/reuse-samples.ts';
import { exampleSample } from '../../support/recorded-project.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const folder = temporaryFolder('reuse');
const calibrationText = '{"text": "1+1=2"}';
const calibrationHash = createHash('sha256').update(calibrationText).digest('hex');
const ids = ['a', 'b', 'c', 'd'];
let project: Project;
let benchmark: string;

const protocol = {
  ...{ temperature: 0.6, topP: 0.95, topK: 0, maxNewTokens: 8, seeds: [1, 2], systemPrompt: null },
  ...{ promptTemplate: '{question}', verifier: 'maths-1', problemsPerBenchmark: null },
};
const gptq = {
  ...{ type: 'quantize', method: 'gptq', scheme: parseScheme('W3G32') },
  calibration: { path: path.join(folder, 'calibration.jsonl'), samples: 8, sequenceLength: 32, seed: 0 },
};

function specOf(change: { protocol?: object; stages?: object[]; benchmarkName?: string }): StudySpec {
  return studySpecSchema.parse({
    name: 'Study',
    models: ['/models/tiny'],
    variants: [{ name: 'variant', stages: change.stages ?? [{ type: 'quantize', method: 'rtn', scheme: parseScheme('W4') }] }],
    benchmarks: [{ name: change.benchmarkName ?? 'sums', path: benchmark }],
    protocol: { ...protocol, ...change.protocol },
  });
}

interface Circumstances {
  modelHash?: string;
  calibration?: string;
  benchmarkHash?: string;
  roundoff?: string;
  backend?: 'wasm' | 'webgpu' | null;
}

/** The ids of a study's baseline and variant; `backend` says that they were started and where. */
function addStudy(change: Parameters<typeof specOf>[0] = {}, circumstances: Circumstances = {}): string[] {
  const { modelHash = 'model', calibration = calibrationHash, benchmarkHash = 'benchmark', roundoff = '1', backend = null } = circumstances;
  const { db } = project;
  const spec = specOf(change);
  const studyId = insertStudy(db, { spec, specHash: 's', protocolHash: 'p', environment: { roundoff } });
  const model = { path: '/models/tiny', name: 'tiny', architecture: 'qwen3', parameters: 1, sizeBytes: 1 };
  const modelId = saveModel(db, { ...model, hash: modelHash });
  const files = [
    { kind: 'benchmark' as const, path: benchmark, sha256: benchmarkHash },
    { kind: 'calibration' as const, path: gptq.calibration.path, sha256: calibration },
  ];
  for (const file of files) linkDataset(db, studyId, saveDataset(db, { ...file, name: 'file', rows: 4, sizeBytes: 1 }));
  return expandStudy(spec).map(({ name, isBaseline, seed, recipe }, position) => {
    const id = `s${studyId}r${position + 1}`;
    insertRun(db, { id, studyId, position, name, isBaseline, modelId, recipeId: saveRecipe(db, recipe), seed, backend: 'auto' });
    if (backend) updateRun(db, id, { backend, startedAt: 1, status: 'finished' });
    return id;
  });
}

function record(runId: string, seeds: number[], problems = ids, name = 'sums'): void {
  for (const seed of seeds) for (const id of problems) insertSample(project.db, runId, 0, exampleSample(id, { seed, benchmark: name }));
}

const reuse = async (runId: string) =>
  (await reuseSamples(project.db, findRun(project.db, runId)!, '/resources')).map(({ samples }) => samples);

beforeEach(() => {
  writeFileSync(gptq.calibration.path, calibrationText);
  const dir = mkdtempSync(path.join(folder, 'p-'));
  benchmark = path.join(dir, 'sums.jsonl');
  writeFileSync(benchmark, ids.map((id) => JSON.stringify({ id, problem: `question ${id}`, answer: '4' })).join('\n'));
  project = createProject(path.join(dir, 'p.roundoff'));
});
afterEach(() => project.close());

describe('completions of earlier runs', () => {
  it('are taken over by a run with the same weights, and only those of its seeds', async () => {
    const [baseline, variant] = addStudy({}, { backend: 'wasm' });
    record(baseline!, [1, 2]);
    record(variant!, [1, 2]);
    const [again, quantized] = addStudy({ protocol: { seeds: [2, 3] } });
    expect(await reuse(again!)).toEqual([4]);
    expect(await reuse(quantized!)).toEqual([4]);
    expect(recordedSamples(project.db, again!).map(([key]) => key)).toEqual(ids.map((id) => `sums\u00002\u0000${id}`));
    expect(await reuse(again!)).toEqual([]);
  });

  it('keep why they were judged so', async () => {
    const [baseline] = addStudy({}, { backend: 'wasm' });
    const detail = 'test 2 of 9: "3" instead of "6"';
    insertSample(project.db, baseline!, 0, exampleSample('a', { seed: 1, verdict: 'incorrect', detail }));
    insertSample(project.db, baseline!, 0, exampleSample('b', { seed: 1 }));
    const [again] = addStudy();
    expect(await reuse(again!)).toEqual([2]);
    const { studyId } = findRun(project.db, again!)!;
    const copied = ['a', 'b'].flatMap((problemId) => compareSamples(project.db, { studyId, benchmark: 'sums', problemId, seed: 1 }));
    expect(copied.map((sample) => [sample.verdict, sample.detail])).toEqual([
      ['incorrect', detail],
      ['correct', null],
    ]);
  });

  it('are those of the first problems where a run asks for fewer', async () => {
    const [baseline] = addStudy({}, { backend: 'wasm' });
    record(baseline!, [1]);
    const [again] = addStudy({ protocol: { problemsPerBenchmark: 3 } });
    expect(await reuse(again!)).toEqual([3]);
    expect(recordedSamples(project.db, again!).map(([key]) => key)).toEqual(['a', 'b', 'c'].map((id) => `sums\u00001\u0000${id}`));
  });

  it('come from several runs, each giving what is missing', async () => {
    const [first] = addStudy({}, { backend: 'wasm' });
    const [second] = addStudy({ protocol: { seeds: [2] } }, { backend: 'wasm' });
    record(first!, [1], ['a', 'b']);
    record(second!, [2]);
    const [again] = addStudy();
    expect(await reuse(again!)).toEqual([2, 4]);
  });

  it('of a calibrated variant need the same calibration file', async () => {
    const [, variant] = addStudy({ stages: [gptq] }, { backend: 'wasm' });
    record(variant!, [1]);
    expect(await reuse(addStudy({ stages: [gptq] })[1]!)).toEqual([4]);
    expect(await reuse(addStudy({ stages: [gptq] }, { calibration: 'another' })[1]!)).toEqual([]);
    const shorter = { ...gptq, calibration: { ...gptq.calibration, samples: 4 } };
    expect(await reuse(addStudy({ stages: [shorter] })[1]!)).toEqual([]);
    writeFileSync(gptq.calibration.path, 'changed since');
    expect(await reuse(addStudy({ stages: [gptq] })[1]!)).toEqual([]);
  });

  it.each<[string, Parameters<typeof specOf>[0], Circumstances]>([
    ['another model', {}, { modelHash: 'another' }],
    ['another benchmark file', {}, { benchmarkHash: 'another' }],
    ['another version', {}, { roundoff: '2' }],
    ['another temperature', { protocol: { temperature: 0.7 } }, {}],
    ['another verifier', { protocol: { verifier: 'maths-2' } }, {}],
    ['another prompt', { protocol: { promptTemplate: 'Q: {question}' } }, {}],
    ['another name, which keys the randomness', { benchmarkName: 'others' }, {}],
  ])('are not taken over for %s', async (_, change, circumstances) => {
    const [baseline] = addStudy({}, { backend: 'wasm' });
    record(baseline!, [1, 2]);
    expect(await reuse(addStudy(change, circumstances)[0]!)).toEqual([]);
  });

  it('made on another backend are left to a run that was started on its own', async () => {
    const [baseline] = addStudy({}, { backend: 'webgpu' });
    record(baseline!, [1, 2]);
    const [again] = addStudy({}, { backend: 'wasm' });
    expect(await reuse(again!)).toEqual([]);
  });

  it('of a variant are not the baseline’s', async () => {
    const [, variant] = addStudy({}, { backend: 'wasm' });
    record(variant!, [1]);
    expect(await reuse(addStudy()[0]!)).toEqual([]);
  });
});
