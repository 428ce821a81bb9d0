/** What is found out about train stages before a run starts, and what they are said to take. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseStudySpec, type StudySpec, type StudyVariant } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { selectBackend } from '../../../src-main/engine/backends/select.ts';
import { readModelConfig } from '../../../src-main/engine/model/config.ts';
import { estimateTrainingMemory } from '../../../src-main/engine/training/memory-estimate.ts';
import { createProject } from '../../../src-main/project/project.ts';
import { findDataset } from '../../../src-main/project/repositories/datasets.ts';
import { expandStudy } from '../../../src-main/runs/expand-study.ts';
import { insertStudyWithRuns } from '../../../src-main/runs/insert-study.ts';
import { memoryBytes, prepareStudy, trainingDiskBytes } from '../../../src-main/runs/plan-study.ts';
import { inspectStudyInputs } from '../../../src-main/runs/study-inputs.ts';
import { resourcesDir, tinyStudy, workerEntry } from '../../support/study-run.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { writeTinyModel } from '../../support/tiny-model.ts';
import { trainStage, writeTrainingRows } from '../../support/training.ts';

const folder = temporaryFolder('train-inputs');
const file = (name: string) => path.join(folder, name);
const modelDir = file('tiny');
const good = file('good.jsonl');
const rl = { kind: 'rl', promptsPerStep: 2, groupSize: 2, maxNewTokens: 64 };

beforeAll(async () => {
  await writeTinyModel(modelDir);
  await writeTinyModel(file('other'), 7, { vocab_size: 450 });
  writeTrainingRows(good);
  writeFileSync(file('no-answer.jsonl'), '{"prompt":"1+1=?","completion":"2"}\n{"prompt":"1+2=?","completion":"  "}\n');
  writeFileSync(file('no-gold.jsonl'), '{"problem":"1+1=?","answer":"2"}\n{"problem":"1+2=?"}\n');
});

function study(...stages: StudyVariant['stages']): StudySpec {
  return parseStudySpec({ ...tinyStudy(modelDir), variants: [{ name: 'trained', stages }] }, 'the test');
}
const problemsOf = async (...stages: StudyVariant['stages']) => (await inspectStudyInputs(study(...stages), resourcesDir)).problems;

describe('train stages of a study', () => {
  it('that can be made are found to be so, and their data is known', async () => {
    const spec = study(trainStage(good), trainStage(good, { objective: rl, batching: 'length' }));
    const inputs = await inspectStudyInputs(spec, resourcesDir);
    expect(inputs.problems.map(({ severity, message }) => [severity, message])).toEqual([
      ['warning', expect.stringMatching(/^6 of the first 48 rows of good are longer than training allows/)],
    ]);
    expect(inputs.trainings.get(good)).toMatchObject({ kind: 'training', rows: 48 });
    const [lengths] = [...inputs.lengths.values()];
    expect(lengths!.mean).toBeGreaterThan(20);
    expect(lengths!.longest).toBeLessThanOrEqual(150);
  });

  it.each([
    ['a row without an answer', () => trainStage(file('no-answer.jsonl')), /line 2: the row has no answer to learn from/],
    ['a row without a right answer', () => trainStage(file('no-gold.jsonl'), { objective: rl }), /answer/],
    ['a file that is not there', () => trainStage(file('missing.jsonl')), /does not exist/],
    ['a file still to be chosen', () => trainStage('choose:OpenR1-Math'), /leaves "OpenR1-Math" to you/],
    [
      'examples that are all too long',
      () => trainStage(good, { data: { path: good, maxTokens: 4 } }),
      /examples of .* are longer than 4 tokens/,
    ],
    ['no room for new tokens', () => trainStage(good, { objective: { ...rl, maxNewTokens: 190 } }), /fits \d+ tokens beside 190 new ones/],
    ['an unknown verifier', () => trainStage(good, { objective: { ...rl, verifier: 'spelling' } }), /spelling/],
    [
      'a teacher of another vocabulary',
      () => trainStage(good, { objective: { kind: 'kd', teacher: file('other') } }),
      /vocabulary of 450 tokens, .* one of 448/,
    ],
    ['a teacher that is not there', () => trainStage(good, { objective: { kind: 'kd', teacher: file('none') } }), /none/],
    ['a scheme that is missing', () => trainStage(good, { trains: { kind: 'quantized' } }), /needs a scheme/],
    ['a group size that does not divide', () => trainStage(good, { trains: { kind: 'quantized', scheme: parseScheme('W3G48') } }), /48/],
  ])('with %s are refused with the remedy', async (_, stage, message) => {
    const errors = (await problemsOf(stage())).filter(({ severity }) => severity === 'error');
    expect(errors).not.toEqual([]);
    for (const error of errors) {
      expect(error.message).toMatch(message);
      expect(error.hint.length).toBeGreaterThan(10);
    }
  });

  it('are warned of when a batch is larger than the data', async () => {
    const warnings = (await problemsOf(trainStage(good, { batchSize: 64 }))).map(({ message }) => message);
    expect(warnings).toContainEqual('good gives 48 rows, fewer than the 64 of a batch.');
  });

  it('count with their time, disk and memory, once where variants share them, and their data goes into the project', async () => {
    await selectBackend('wasm');
    const project = createProject(file('plan.roundoff'));
    try {
      const options = { resourcesDir, workerEntry, nodeFile: process.execPath };
      const plain = await prepareStudy(project, study(), options);
      const long = trainStage(good, { steps: 100_000, evaluation: { every: 10, problems: 2 } });
      const one = await prepareStudy(project, study(long), options);
      const twice = {
        ...study(long),
        variants: [
          ...study(long).variants,
          { name: 'and exported', stages: [long, { type: 'export' as const, format: 'dequantized' as const }] },
        ],
      };
      const two = await prepareStudy(project, twice, options);
      const training = one.plan.estimate.elapsedMs - plain.plan.estimate.elapsedMs;
      expect(training).toBeGreaterThan(10_000);
      expect(two.plan.estimate.elapsedMs - plain.plan.estimate.elapsedMs).toBeLessThan(1.6 * training);
      const parameters = [...one.inputs.models.values()][0]!.parameters;
      expect(trainingDiskBytes(parameters, long)).toBe(4 * parameters * 11);
      expect(one.plan.estimate.diskBytes - plain.plan.estimate.diskBytes).toBeGreaterThanOrEqual(trainingDiskBytes(parameters, long));
      const config = await readModelConfig(modelDir);
      const { longest } = [...one.inputs.lengths.values()][0]!;
      expect(memoryBytes(study(long), one.inputs)).toBe(estimateTrainingMemory(config, long, longest));
      insertStudyWithRuns(project.db, one, { spec: study(long), specHash: 'x', protocolHash: 'y', environment: {} });
      expect(findDataset(project.db, 'training', good)).toMatchObject({ rows: 48 });
      expect(expandStudy(study(long))[1]!.recipe.stages[0]).toEqual(long);
    } finally {
      project.close();
    }
  });
});
