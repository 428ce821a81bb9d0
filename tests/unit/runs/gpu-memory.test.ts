/** The GPU memory that a plan states for a study on webgpu, and what does not fit; the machine's GPU is what a worker of the test says. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseStudySpec, type StudyVariant } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { readModelConfig } from '../../../src-main/engine/model/config.ts';
import { readStoredForms } from '../../../src-main/engine/model/stored-forms.ts';
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
const nf4 = { type: 'quantize', method: 'nf4', scheme: parseScheme('NF4') };

beforeAll(async () => {
  await writeTinyModel(modelDir);
  writeTrainingRows(rows);
});

interface Machine {
  memoryBytes?: number | null;
  bindingBytes?: number;
  /** What the study asks for, and what works here. */
  backend?: string;
  software?: boolean;
}

const wasm = { name: 'wasm', available: true, device: 'WebAssembly', reason: null };

async function plan(stages: unknown[], machine: Machine = {}, change: object = {}) {
  const { memoryBytes = null, bindingBytes = 2 ** 31, backend = 'webgpu', software = false } = machine;
  const variants = [{ name: 'changed', stages: stages as StudyVariant['stages'] }];
  const spec = parseStudySpec({ ...tinyStudy(modelDir), variants, backend, seeds: [1, 2], ...change }, 'the test');
  const workerEntry = file('worker.mjs');
  const reason = software ? 'Software adapter: used only when webgpu is chosen by name.' : null;
  const backends = [{ name: 'webgpu', available: true, device: 'a GPU', reason, gpu: { memoryBytes, bindingBytes } }, wasm];
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
  it('is that of the stage that takes most, beside what a process may hold', async () => {
    const { gpuMemory, gpuProblems, inputs } = await plan([stage], { memoryBytes: 16e9 });
    const [lengths] = [...inputs.lengths.values()];
    const forms = await readStoredForms(modelDir, await readModelConfig(modelDir));
    const evaluation = (await plan([], { memoryBytes: 16e9 })).gpuMemory!;
    const training = estimateGpuTrainingMemory({ forms, stage, longest: lengths!.longest });
    expect(gpuMemory).toEqual({ neededBytes: Math.max(training, evaluation.neededBytes), budgetBytes: 16e9 });
    expect(gpuProblems).toEqual([]);
  });

  it('refuses a training that does not fit, once for all seeds', async () => {
    const { gpuProblems } = await plan([stage], { memoryBytes: 100_000 });
    expect(gpuProblems).toContainEqual({
      severity: 'error',
      where: 'changed · seed 1, changed · seed 2',
      message: expect.stringMatching(/^Training takes about \d\.\d+ GB of the GPU's memory, of which a process may hold 0\.000 GB\.$/),
      hint: expect.stringContaining('activation checkpointing'),
    });
  });

  it('counts the base of an adapter as the stages before leave it', async () => {
    const big = { protocol: { ...tinyStudy(modelDir).protocol, problemsPerBenchmark: 1, seeds: [1], maxNewTokens: 2 } };
    const train = trainStage(rows, { trains: { kind: 'lora' }, batchSize: 32 });
    const [quantized, float] = [await plan([nf4, train], {}, big), await plan([train], {}, big)];
    expect(quantized.gpuMemory!.neededBytes).toBeLessThan(float.gpuMemory!.neededBytes);
    expect(quantized.gpuMemory!.budgetBytes).toBeNull();
  });

  it('leaves room for fewer slots, and says so for the runs that this slows down', async () => {
    const { neededBytes } = (await plan([], { memoryBytes: 16e9 })).gpuMemory!;
    const tight = await plan([], { memoryBytes: 0.6 * neededBytes });
    expect(tight.gpuMemory!.neededBytes).toBeLessThanOrEqual(0.6 * neededBytes);
    expect(tight.gpuProblems).toEqual([
      {
        severity: 'warning',
        where: expect.stringContaining('changed · seed 1'),
        message: expect.stringMatching(/^The GPU's memory has room for \d+ sequences of \d+ tokens side by side, not for 64/),
        hint: expect.stringContaining('new tokens'),
      },
    ]);
  });

  it('refuses an evaluation that cannot hold one sequence', async () => {
    const { gpuProblems } = await plan([], { memoryBytes: 100_000 });
    expect(gpuProblems).toEqual([
      {
        severity: 'error',
        where: expect.stringContaining('changed · seed 2'),
        message: expect.stringMatching(/^Generating a single sequence of \d+ tokens takes about \d\.\d+ GB .* may hold 0\.000 GB\.$/),
        hint: expect.stringContaining('wasm'),
      },
    ]);
  });

  it('is stated where auto takes a GPU, and left out where it does not', async () => {
    const gpu = await plan([stage], { memoryBytes: 16e9, backend: 'auto' });
    expect(gpu.gpuMemory).toEqual((await plan([stage], { memoryBytes: 16e9 })).gpuMemory);
    expect(gpu.plan.computesOn).toEqual({ backend: 'webgpu', device: 'a GPU' });
    const processor = await plan([stage], { memoryBytes: 16e9, backend: 'auto', software: true });
    expect(processor.gpuMemory).toBeNull();
    expect(processor.plan.computesOn).toEqual({ backend: 'wasm', device: 'WebAssembly' });
  });
});
