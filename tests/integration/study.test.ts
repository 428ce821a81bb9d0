import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { reportFormats } from '#contract/commands.ts';
import { calibrationOf } from '#contract/recipe.ts';
import type { RunEvent } from '#contract/worker.ts';
import { resourcesDir, tinyStudy, Workbench, workerProcesses } from '../support/study-run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { testBackend } from '../support/test-backend.ts';
import { writeTinyModel } from '../support/tiny-model.ts';

const folder = temporaryFolder('study');
const modelDir = path.join(folder, 'tiny');
const spec = tinyStudy(modelDir);
const completionsPerRun = 2 * 20 * 3;
let count = 0;
const open: Workbench[] = [];
/** Rows of the study when nothing disturbs it. */
let undisturbed: unknown;

async function workbench(options: ConstructorParameters<typeof Workbench>[1] = {}): Promise<Workbench> {
  const bench = new Workbench(path.join(folder, 'home'), options);
  open.push(bench);
  await bench.command('project.create', { path: path.join(folder, `p${++count}.roundoff`) });
  return bench;
}

const sampleOf = (runId: string) => (event: { type: string; runId?: string; events?: RunEvent[] }) =>
  event.type === 'run-events' && event.runId === runId && event.events!.some((item) => item.type === 'sample');

beforeAll(async () => {
  await writeTinyModel(modelDir);
  const bench = await workbench();
  const study = await bench.command('studies.create', { spec });
  await bench.settled();
  undisturbed = await bench.rows(study.id);
  await checkWholeStudy(bench, study.id);
});
afterEach(async () => {
  for (const bench of open.splice(0)) await bench.services.close();
});

/** What a finished study must hold; part of the set-up because every test compares with it. */
async function checkWholeStudy(bench: Workbench, studyId: number): Promise<void> {
  const runs = await bench.command('runs.list', { studyId });
  expect(runs.map((run) => [run.name, run.status, run.backend])).toEqual([
    ['baseline', 'finished', testBackend],
    ['RTN W4', 'finished', testBackend],
    ['GPTQ W2G32', 'finished', testBackend],
  ]);
  const plan = await bench.command('studies.plan', { spec });
  expect(plan).toMatchObject({ completions: 3 * completionsPerRun, problems: [] });
  expect(plan.basis).toContain(`earlier runs of this model on ${testBackend}`);
  const elsewhere = testBackend === 'webgpu' ? 'wasm' : 'webgpu';
  expect((await bench.command('studies.plan', { spec: { ...spec, backend: elsewhere } })).basis).toContain('a rough guess');
  const project = (await bench.command('project.current', {}))!;
  for (const run of runs) {
    const snapshot = await bench.command('runs.snapshot', { runId: run.id });
    expect(snapshot.stages.every((stage) => stage.status === 'finished')).toBe(true);
    const seqs = bench.events.flatMap((event) =>
      event.type === 'run-events' && event.runId === run.id ? event.events.map((item) => item.seq) : [],
    );
    expect(seqs).toEqual(Array.from({ length: snapshot.lastSeq }, (_, index) => index + 1));
    const page = await bench.command('samples.query', { studyId, runId: run.id });
    expect(page.total).toBe(completionsPerRun);
    for (const artifact of snapshot.artifacts) {
      const file = path.join(project.artifactsDir, artifact.path);
      expect(existsSync(file)).toBe(true);
      if (artifact.kind === 'quantization-report')
        expect(createHash('sha256').update(readFileSync(file)).digest('hex')).toBe(artifact.sha256);
    }
  }
  expect((await bench.command('runs.snapshot', { runId: runs[2]!.id })).artifacts.map((artifact) => artifact.kind).sort()).toEqual([
    'checkpoint',
    'export',
    'quantization-report',
  ]);
}

describe('a study', () => {
  it('gives rows with methods, sizes and accuracies, and reports in every format', async () => {
    const rows = undisturbed as {
      method: string;
      scheme: string;
      bitsPerWeight: number;
      bytes: number;
      benchmarks: unknown[];
      average: object;
    }[];
    expect(rows.map((row) => [row.method, row.scheme])).toEqual([
      ['none', 'none'],
      ['rtn', 'W4'],
      ['gptq', 'W2G32'],
    ]);
    expect(rows[0]!.bitsPerWeight).toBe(32);
    expect(rows[2]!.bitsPerWeight).toBeCloseTo(2 + 18 / 32, 6);
    expect(rows[2]!.bytes).toBeLessThan(rows[0]!.bytes);
    expect(rows.every((row) => row.benchmarks.length === 2 && row.average !== null)).toBe(true);
  });

  it('gives the same rows again for the same seeds', async () => {
    const bench = await workbench();
    const study = await bench.command('studies.create', { spec });
    await bench.settled();
    expect(await bench.rows(study.id)).toEqual(undisturbed);
    for (const format of reportFormats) {
      const file = path.join(folder, `report.${format}`);
      const written = await bench.command('reports.export', { studyId: study.id, format, path: file });
      expect(readFileSync(file).length).toBe(written.sizeBytes);
      if (format === 'xlsx') expect(readFileSync(file).subarray(0, 2).toString()).toBe('PK');
      else expect(readFileSync(file, 'utf8')).toContain('GPTQ W2G32');
    }
  });

  it('gives the same rows after its worker was killed in every stage and the runs were resumed', async () => {
    const bench = await workbench();
    const study = await bench.command('studies.create', { spec });
    const [baseline, , gptq] = await bench.command('runs.list', { studyId: study.id });

    await bench.when(sampleOf(baseline!.id));
    for (const pid of workerProcesses()) process.kill(pid, 'SIGKILL');
    const killed = await bench.ended(baseline!.id);
    expect(killed.status).toBe('interrupted');
    expect(killed.error).toMatchObject({ code: 'worker-crashed' });
    const kept = (await bench.command('samples.query', { studyId: study.id, runId: baseline!.id })).total;
    expect(kept).toBeGreaterThan(0);
    expect(kept).toBeLessThan(completionsPerRun);

    await bench.when(
      (event) => event.type === 'run-events' && event.runId === gptq!.id && event.events.some((item) => item.type === 'stage-started'),
    );
    for (const pid of workerProcesses()) process.kill(pid, 'SIGKILL');
    expect((await bench.ended(gptq!.id)).status).toBe('interrupted');

    await bench.command('runs.resume', { runId: gptq!.id });
    await bench.when(sampleOf(gptq!.id));
    for (const pid of workerProcesses()) process.kill(pid, 'SIGKILL');
    await bench.settled();
    await bench.command('runs.resume', { runId: baseline!.id });
    if ((await bench.ended(gptq!.id)).status !== 'finished') await bench.command('runs.resume', { runId: gptq!.id });
    await bench.settled();
    expect(await bench.rows(study.id)).toEqual(undisturbed);
  });

  it('can be cancelled while it runs and while it waits, and then goes on', async () => {
    const bench = await workbench();
    const study = await bench.command('studies.create', { spec });
    const [baseline, rtn, gptq] = await bench.command('runs.list', { studyId: study.id });
    await bench.command('runs.cancel', { runId: rtn!.id });
    await bench.when(sampleOf(baseline!.id));
    const cancelled = await bench.command('runs.cancel', { runId: baseline!.id });
    expect(['stopping', 'cancelled']).toContain(cancelled.status);
    expect((await bench.ended(baseline!.id)).status).toBe('cancelled');
    expect((await bench.ended(rtn!.id)).status).toBe('cancelled');
    expect((await bench.ended(gptq!.id)).status).toBe('finished');
    for (const run of [baseline!, rtn!]) await bench.command('runs.resume', { runId: run.id });
    await bench.settled();
    expect(await bench.rows(study.id)).toEqual(undisturbed);
  });

  it('stops at a checkpoint when the app closes, and goes on when the project is opened again', async () => {
    const bench = await workbench();
    const study = await bench.command('studies.create', { spec });
    const [baseline] = await bench.command('runs.list', { studyId: study.id });
    const { path: file } = (await bench.command('project.current', {}))!;
    await bench.when(sampleOf(baseline!.id));
    await bench.services.close();
    expect(workerProcesses()).toEqual([]);

    const second = new Workbench(path.join(folder, 'home'));
    open.push(second);
    await second.command('project.open', { path: file });
    const runs = await second.command('runs.list', { studyId: study.id });
    expect(runs.map((run) => run.status)).toEqual(['interrupted', 'interrupted', 'interrupted']);
    for (const run of runs) await second.command('runs.resume', { runId: run.id });
    await second.settled();
    expect(await second.rows(study.id)).toEqual(undisturbed);
  });

  it('shows how a worker crashed and keeps the project usable', async () => {
    const crashing = path.join(folder, 'crashing-worker.mjs');
    writeFileSync(
      crashing,
      `if (process.argv.includes('--backends')) {
         console.log(JSON.stringify([{ name: 'wasm', available: true, device: 'a stand-in', reason: null }]));
         process.exit(0);
       }
       process.send({ type: 'ready', pid: process.pid, node: process.version });
       process.on('message', () => { console.error('native assertion failed: lane 3'); process.abort(); });`,
    );
    const bench = await workbench({ workerEntry: crashing });
    const study = await bench.command('studies.create', { spec: { ...spec, variants: [] } });
    await bench.settled();
    const [run] = await bench.command('runs.list', { studyId: study.id });
    expect(run).toMatchObject({ status: 'failed', error: { code: 'worker-crashed' } });
    expect(run!.error!.problems!.join('\n')).toContain('native assertion failed: lane 3');
    expect(bench.events.some((event) => event.type === 'run-events' && event.events.some((item) => item.type === 'failed'))).toBe(true);

    const { path: file } = (await bench.command('project.current', {}))!;
    await bench.services.close();
    const second = new Workbench(path.join(folder, 'home'));
    open.push(second);
    await second.command('project.open', { path: file });
    await second.command('runs.resume', { runId: run!.id });
    await second.settled();
    expect(await second.rows(study.id)).toEqual((undisturbed as unknown[]).slice(0, 1));
  });

  it('is deleted with its records and files, even while it runs', async () => {
    const bench = await workbench();
    const study = await bench.command('studies.create', { spec });
    const [baseline] = await bench.command('runs.list', { studyId: study.id });
    await bench.when(sampleOf(baseline!.id));
    const { artifactsDir } = (await bench.command('project.current', {}))!;
    expect(existsSync(path.join(artifactsDir, baseline!.id))).toBe(true);
    await bench.command('studies.delete', { studyId: study.id });
    expect(await bench.command('studies.list', {})).toEqual([]);
    expect(await bench.command('runs.list', {})).toEqual([]);
    expect(existsSync(path.join(artifactsDir, baseline!.id))).toBe(false);
    expect(bench.services.activeRuns()).toBe(0);
  });

  it('refuses to measure a benchmark or model that changed since it was made', async () => {
    const benchmark = path.join(folder, 'own.jsonl');
    writeFileSync(benchmark, '{"id":"1","problem":"1+1=?","answer":"2"}\n');
    const changing = path.join(folder, 'changing');
    await writeTinyModel(changing);
    const bench = await workbench();
    const own = { ...spec, variants: [], models: [changing], benchmarks: [{ name: 'own', path: benchmark }] };
    const study = await bench.command('studies.create', { spec: own });
    await bench.settled();
    const [run] = await bench.command('runs.list', { studyId: study.id });
    expect(run!.status).toBe('finished');

    const second = await bench.command('studies.create', { spec: own });
    const [again] = await bench.command('runs.list', { studyId: second.id });
    await bench.command('runs.cancel', { runId: again!.id });
    await bench.settled();
    writeFileSync(benchmark, '{"id":"1","problem":"2+2=?","answer":"4"}\n');
    await bench.command('runs.resume', { runId: again!.id });
    expect((await bench.ended(again!.id)).error).toMatchObject({ code: 'dataset-invalid' });

    writeFileSync(benchmark, '{"id":"1","problem":"1+1=?","answer":"2"}\n');
    await writeTinyModel(changing, 8);
    await bench.command('runs.resume', { runId: again!.id });
    await bench.settled();
    expect((await bench.ended(again!.id)).error).toMatchObject({ code: 'model-invalid' });
  });

  it('refuses to calibrate with a file that changed since it was made', async () => {
    const calibration = path.join(folder, 'own-calibration.jsonl');
    writeFileSync(calibration, readFileSync(path.join(resourcesDir, 'sample/calibration/abacus.jsonl')));
    const bench = await workbench();
    const stages = spec.variants[1]!.stages.map((stage) =>
      stage.type === 'quantize' ? { ...stage, calibration: { ...calibrationOf(stage)!, path: calibration } } : stage,
    );
    const study = await bench.command('studies.create', { spec: { ...spec, variants: [{ ...spec.variants[1]!, stages }] } });
    const run = (await bench.command('runs.list', { studyId: study.id })).at(-1)!;
    await bench.command('runs.cancel', { runId: run.id });
    await bench.settled();
    writeFileSync(calibration, `${readFileSync(calibration, 'utf8')}{"text":"1+1=2"}\n`);
    await bench.command('runs.resume', { runId: run.id });
    expect((await bench.ended(run.id)).error).toMatchObject({ code: 'dataset-invalid', message: expect.stringContaining(calibration) });
  });
});
