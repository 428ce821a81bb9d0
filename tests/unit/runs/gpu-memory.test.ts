/** The GPU memory that a plan states for a study on webgpu, and what does not fit; the machine's GPU is what a worker of the test says. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseStudySpec, type StudyVariant } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { readModelConfig } from '../../../src-main/engine/model/config.ts';
import { estimateGpuTrainingMemory } from '../../../src-main/engine/training/gpu-memory-estimate.ts';
import { createProject } from '../../../src-main/project/project.ts';
import { prepareStudy } from '../../../src-main/runs/plan-study.ts';
import { resourcesDir, tinyStudy } from '../../support/study-run.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { writeTinyModel } from '../../support/tiny-model.ts';
import { trainStage, writeTrainingRows } from '../../support/training.ts';

const folder = temporaryFolder('plan-gpu-memory');
const file = (name: string) => path.join(folder, name);
const modelDir = file('tiny');
const rows = file('rows.jsonl');
const stage = trainStage(rows);
const lora = trainStage(rows, { trains: { kind: 'lora' } });
const nf4 = { type: 'quantize', method: 'nf4', scheme: parseScheme('NF4') };

beforeAll(async () => {
  await writeTinyModel(modelDir);
  writeTrainingRows(rows);
});

async function plan(stages: unknown[], memoryBytes: number | null, backend = 'webgpu') {
  const variants = [{ name: 'trained', stages: stages as StudyVariant['stages'] }];
  const spec = parseStudySpec({ ...tinyStudy(modelDir), variants, backend, seeds: [1, 2] }, 'the test');
  const workerEntry = file('worker.mjs');
  const backends = [{ name: 'webgpu', available: true, device: 'a GPU', reason: null, gpu: { memoryBytes } }];
  writeFileSync(workerEntry, `console.log(${JSON.stringify(JSON.stringify(backends))});`);
  const project = createProject(file(`${crypto.randomUUID()}.roundoff`));
  try {
    const prepared = await prepareStudy(project, spec, { resourcesDir, workerEntry, nodeFile: process.execPath });
    const gpuProblems = prepared.plan.problems.filter(({ message }) => message.includes("GPU's memory"));
    return { ...prepared, gpuMemory: prepared.plan.estimate.gpuMemory, gpuProblems };
  } finally {
    project.close();
  }
}

describe('the GPU memory of a plan', () => {
  it('stands beside what a process may hold', async () => {
    const { gpuMemory, gpuProblems, inputs } = await plan([stage], 16e9);
    const [lengths] = [...inputs.lengths.values()];
    const config = await readModelConfig(modelDir);
    const neededBytes = estimateGpuTrainingMemory({ config, stage, longest: lengths!.longest });
    expect(gpuMemory).toEqual({ neededBytes, budgetBytes: 16e9 });
    expect(gpuProblems).toEqual([]);
  });

  it('refuses a training that does not fit, once for all seeds', async () => {
    const { gpuMemory, gpuProblems } = await plan([stage], 100_000);
    expect(gpuMemory!.neededBytes).toBeGreaterThan(100_000);
    expect(gpuProblems).toEqual([
      {
        severity: 'error',
        where: 'trained · seed 1, trained · seed 2',
        message: expect.stringMatching(/^Training takes about \d\.\d GB of the GPU's memory, of which a process may hold 0\.0 GB\.$/),
        hint: expect.stringContaining('activation checkpointing'),
      },
    ]);
  });

  it('counts the base of an adapter as the stages before leave it', async () => {
    const [quantized, float] = [await plan([nf4, lora], null), await plan([lora], null)];
    expect(quantized.gpuMemory!.neededBytes).toBeLessThan(float.gpuMemory!.neededBytes);
    expect(quantized.gpuMemory!.budgetBytes).toBeNull();
  });

  it('is left out where nothing trains, or another backend is asked for', async () => {
    expect((await plan([], 16e9)).gpuMemory).toBeNull();
    expect((await plan([stage], 16e9, 'auto')).gpuMemory).toBeNull();
  });
});
