/**
 * A GPU that is not there, is taken away, runs out of memory or stops answering: each ends a run with one error that names device, cause and
 * remedy, leaves the project file sound, and lets the run go on from what was kept.
 */
import path from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ErrorInfo } from '#contract/errors.ts';
import { studySpecSchema } from '#contract/recipe.ts';
import type { RunRecord } from '#contract/records.ts';
import { probeBackends } from '../../src-main/runs/probe-backends.ts';
import { root, tinyStudy, Workbench, workerEntry } from '../support/study-run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { writeTinyModel } from '../support/tiny-model.ts';

const folder = temporaryFolder('gpu-failures');
const modelDir = path.join(folder, 'tiny');
const failingWorker = path.join(root, 'tests/support/failing-gpu-worker.ts');
const { backends } = await probeBackends({ nodeFile: process.execPath, workerEntry });
const webgpu = backends.find(({ name }) => name === 'webgpu');
if (!webgpu?.available) console.info(`Failures of the GPU are left out: ${webgpu?.reason}`);

/** What the worker's environment gets for a failure, and what the run's error then is. */
const failures: Record<string, { environment: Record<string, string>; code: ErrorInfo['code']; message: RegExp; hint: RegExp }> = {
  'a lost device': {
    environment: { ROUNDOFF_TEST_GPU: 'lost' },
    code: 'gpu-lost',
    message: /^The GPU .+ was lost: .*destroyed/,
    hint: /last checkpoint is kept.*wasm/,
  },
  'no memory left': {
    environment: { ROUNDOFF_TEST_GPU: 'memory' },
    code: 'out-of-memory',
    message: /^The GPU .+ has no memory left: Allocation of 8589934592 bytes failed/,
    hint: /Lower the batch size/,
  },
  'no answer in time': {
    environment: { ROUNDOFF_TEST_GPU: 'silent', ROUNDOFF_GPU_TIMEOUT: '20' },
    code: 'gpu-lost',
    message: /^The GPU .+ has not answered for 20 seconds/,
    hint: /smaller batch.*ROUNDOFF_GPU_TIMEOUT/,
  },
  'a blocked adapter': {
    environment: { ROUNDOFF_TEST_GPU: 'blocked' },
    code: 'backend-unavailable',
    message: /webgpu cannot be used: (Vulkan offers .+, but WebGPU takes no adapter there|no Vulkan driver|the Vulkan loader)/,
    hint: /driver.*wasm|libvulkan1.*wasm/,
  },
  'a device that is refused': {
    environment: { ROUNDOFF_TEST_GPU: 'refused' },
    code: 'backend-unavailable',
    message: /webgpu cannot be used: the GPU .+ refused a device: vkCreateDevice failed/,
    hint: /Update the GPU driver.*wasm/,
  },
};

const completions = 80;
const open: Workbench[] = [];
const changed = new Map<string, string | undefined>();

beforeAll(() => writeTinyModel(modelDir));
afterEach(async () => {
  restoreEnvironment();
  for (const bench of open.splice(0)) await bench.services.close();
});

function setEnvironment(values: Record<string, string>): void {
  for (const [name, value] of Object.entries(values)) {
    changed.set(name, process.env[name]);
    process.env[name] = value;
  }
}

function restoreEnvironment(): void {
  for (const [name, value] of changed) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  changed.clear();
}

/** A baseline, and where `trains` a training of twelve steps with a checkpoint every second one. */
function study(trains: boolean) {
  const train = {
    ...{ type: 'train', objective: { kind: 'sft' }, trains: { kind: 'weights' }, steps: 12, batchSize: 2, checkpointEvery: 2 },
    data: { path: 'sample:training/abacus.jsonl', limit: 50, maxTokens: 96 },
    optimizer: { learningRate: 1e-3 },
  };
  const spec = tinyStudy(modelDir, 1);
  const size = trains ? { problemsPerBenchmark: 2, maxNewTokens: 4 } : { problemsPerBenchmark: 40, maxNewTokens: 8 };
  return studySpecSchema.parse({
    ...spec,
    variants: trains ? [{ name: 'trained', stages: [train] }] : [],
    benchmarks: spec.benchmarks.slice(0, 1),
    protocol: { ...spec.protocol, ...size, seeds: [1, 2] },
    backend: 'webgpu',
  });
}

/** A study on the GPU in a project of its own; the last of its runs, over. */
async function begin(name: string, trains: boolean): Promise<{ bench: Workbench; run: RunRecord; file: string }> {
  const bench = new Workbench(path.join(folder, 'home'), { workerEntry: failingWorker });
  open.push(bench);
  const file = path.join(folder, `${name.replaceAll(' ', '-')}.roundoff`);
  await bench.command('project.create', { path: file });
  const record = await bench.command('studies.create', { spec: study(trains) });
  const runs = await bench.command('runs.list', { studyId: record.id });
  return { bench, run: await bench.ended(runs.at(-1)!.id), file };
}

async function samples(bench: Workbench, { studyId }: RunRecord): Promise<number> {
  return (await bench.command('samples.query', { studyId: studyId! })).total;
}

function checkSound(file: string): void {
  const db = new Database(file, { readonly: true });
  expect(db.pragma('integrity_check', { simple: true })).toBe('ok');
  expect(db.pragma('foreign_key_check')).toEqual([]);
  db.close();
}

function checkError(run: RunRecord, name: string): void {
  const { code, message, hint } = failures[name]!;
  expect(run).toMatchObject({
    status: 'failed',
    error: { code, message: expect.stringMatching(message), hint: expect.stringMatching(hint) },
  });
  if (code !== 'backend-unavailable') expect(run.error!.message).toContain(webgpu!.device);
}

describe.skipIf(!webgpu?.available)('an evaluation on the GPU', () => {
  it.each(['a lost device', 'no answer in time'])('ends with a clear error for %s, keeps its samples and goes on', async (name) => {
    setEnvironment(failures[name]!.environment);
    const { bench, run, file } = await begin(`${name} in evaluation`, false);
    checkError(run, name);
    checkSound(file);
    const kept = await samples(bench, run);
    expect(kept).toBeGreaterThan(0);
    expect(kept).toBeLessThan(completions);
    restoreEnvironment();
    await bench.command('runs.resume', { runId: run.id });
    expect(await bench.ended(run.id)).toMatchObject({ status: 'finished', error: null });
    expect(await samples(bench, run)).toBe(completions);
    checkSound(file);
  });
});

describe.skipIf(!webgpu?.available)('training on the GPU', () => {
  it.each(['a lost device', 'no memory left', 'no answer in time'])(
    'ends with a clear error for %s and goes on from its checkpoint',
    { timeout: 600_000 },
    async (name) => {
      setEnvironment(failures[name]!.environment);
      const { bench, run, file } = await begin(`${name} in training`, true);
      checkError(run, name);
      checkSound(file);
      restoreEnvironment();
      await bench.command('runs.resume', { runId: run.id });
      expect(await bench.ended(run.id)).toMatchObject({ status: 'finished', error: null });
      const { stages } = await bench.command('runs.snapshot', { runId: run.id });
      expect(stages[0]).toMatchObject({ status: 'finished', summary: { type: 'train', steps: 12 } });
      expect(JSON.stringify(bench.events)).toMatch(/Going on after step (4|6|8|10) of 12/);
      checkSound(file);
    },
  );
});

describe.skipIf(!webgpu?.available)('a run whose GPU cannot be used', () => {
  it.each(['a blocked adapter', 'a device that is refused'])('ends with a clear error for %s', async (name) => {
    setEnvironment(failures[name]!.environment);
    const { run, file } = await begin(name, false);
    checkError(run, name);
    checkSound(file);
  });

  it('is refused before its study starts where the budget is too small', async () => {
    const bench = new Workbench(path.join(folder, 'home'));
    open.push(bench);
    await bench.command('project.create', { path: path.join(folder, 'budget.roundoff') });
    setEnvironment({ ROUNDOFF_GPU_MEMORY: '0.0001' });
    const refused = await bench.services.dispatch('studies.create', { spec: study(false) });
    expect(refused).toMatchObject({ ok: false, error: { code: 'recipe-invalid', hint: expect.stringContaining('ROUNDOFF_GPU_MEMORY') } });
    expect((refused as { error: ErrorInfo }).error.message).toMatch(/takes about 0\.\d+ GB of the GPU's memory, .* may hold 0\.000 GB/);
    expect(await bench.command('studies.list', {})).toEqual([]);
  });
});

describe('a driver that is missing', () => {
  it('is named with its remedy before a study starts', async () => {
    const bench = new Workbench(path.join(folder, 'home'));
    open.push(bench);
    await bench.command('project.create', { path: path.join(folder, 'driver.roundoff') });
    setEnvironment({ VK_DRIVER_FILES: path.join(folder, 'no-driver.json') });
    const refused = await bench.services.dispatch('studies.create', { spec: study(false) });
    expect(refused).toMatchObject({ ok: false, error: { code: 'recipe-invalid' } });
    const { message, problems } = (refused as { error: ErrorInfo }).error;
    expect([message, ...(problems ?? [])].join('\n')).toMatch(
      /(no Vulkan driver|Vulkan loader|no GPU adapter).*(Unset|[Ii]nstall|Update).*wasm/,
    );
    expect(await bench.command('studies.list', {})).toEqual([]);
  });
});
