import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import type { CommandResult } from '#contract/errors.ts';
import type { HostEvent, RunRecord, RunSnapshot, StudyRecord } from '#contract/records.ts';
import { socketProtocol, startBrowserHost } from '../../src-main/app/browser-host.ts';
import { createProject } from '../../src-main/project/project.ts';
import { listRuns } from '../../src-main/project/repositories/runs.ts';
import { recordedSamples } from '../../src-main/project/repositories/samples.ts';
import { RunService } from '../../src-main/runs/run-service.ts';
import { resourcesDir, tinyStudy, Workbench, workerEntry } from '../support/study-run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { writeTinyModel } from '../support/tiny-model.ts';

const folder = temporaryFolder('failures');
const modelDir = path.join(folder, 'tiny');
const baselineOnly = { ...tinyStudy(modelDir), variants: [] };
const open: Workbench[] = [];

beforeAll(() => writeTinyModel(modelDir));
afterEach(async () => {
  for (const bench of open.splice(0)) await bench.services.close();
});

function workbench(): Workbench {
  const bench = new Workbench(path.join(folder, 'home'));
  open.push(bench);
  return bench;
}

describe('a full disk', () => {
  it('ends the run with the remedy, keeps what was recorded, and lets the run go on later', async () => {
    const project = createProject(path.join(folder, 'full.roundoff'));
    const events: HostEvent[] = [];
    let announce: () => void = () => undefined;
    const options = { resourcesDir, workerEntry, nodeFile: process.execPath, version: '0.0.0-test' };
    const service = new RunService(project, {
      ...options,
      emit: (event) => {
        events.push(event);
        announce();
      },
    });
    const settled = async () => {
      while (service.activeRuns > 0) await new Promise<void>((resolve) => (announce = resolve));
    };
    const study = await service.createStudy({ ...baselineOnly, seeds: [1], models: [modelDir] });
    const used = project.db.pragma('page_count', { simple: true }) as number;
    project.db.pragma(`max_page_count = ${used + 8}`);
    await settled();
    const runId = listRuns(project.db, study.id)[0]!.id;
    const last = events.filter((event) => event.type === 'run-changed').at(-1)!;
    expect(last.run).toMatchObject({ id: runId, status: 'failed', error: { code: 'disk-full' } });
    expect(last.run.error!.message).toContain(project.info.path);
    const kept = recordedSamples(project.db, runId).length;
    expect(kept).toBeLessThan(120);
    expect(project.db.pragma('integrity_check', { simple: true })).toBe('ok');

    project.db.pragma('max_page_count = 1000000');
    service.resume(runId);
    await settled();
    expect(service.run(runId).status).toBe('finished');
    expect(recordedSamples(project.db, runId)).toHaveLength(120);
    await service.close();
    project.close();
  });
});

describe('a client that goes away', () => {
  it('does not disturb the run, and finds all of it when it comes back', async () => {
    const bench = workbench();
    const rendererDir = path.join(folder, 'renderer');
    mkdirSync(rendererDir, { recursive: true });
    writeFileSync(path.join(rendererDir, 'index.html'), '<!doctype html><title>Roundoff</title>');
    const host = await startBrowserHost({ services: bench.services, rendererDir });
    const first = await connect(host.url);
    await first.command('project.create', { path: path.join(folder, 'client.roundoff') });
    const study = await first.command<StudyRecord>('studies.create', { spec: baselineOnly });
    const [run] = await first.command<RunRecord[]>('runs.list', { studyId: study.id });
    await first.nextEvent((event) => event.type === 'run-events');
    first.close();
    await bench.settled();

    const second = await connect(host.url);
    const snapshot = await second.command<RunSnapshot>('runs.snapshot', { runId: run!.id });
    expect(snapshot.run.status).toBe('finished');
    expect(await second.command('samples.query', { studyId: study.id })).toMatchObject({ total: 120 });
    second.close();
    await host.close();
  });
});

describe('bad input', () => {
  it('is refused before anything is recorded, with every problem listed', async () => {
    const bench = workbench();
    await bench.command('project.create', { path: path.join(folder, 'input.roundoff') });
    const spec = tinyStudy(modelDir);
    const gptq = spec.variants[1]!.stages[0]!;
    if (gptq.type !== 'quantize' || gptq.method !== 'gptq') throw new Error('the second variant is GPTQ');
    const broken = {
      ...spec,
      models: [modelDir, path.join(folder, 'nowhere')],
      benchmarks: [...spec.benchmarks, { name: 'missing', path: path.join(folder, 'missing.jsonl') }],
      variants: [
        { name: 'wide groups', stages: [{ ...gptq, scheme: { ...gptq.scheme, groupSize: 128 } }] },
        { name: 'no text', stages: [{ ...gptq, calibration: { ...gptq.calibration, path: path.join(folder, 'no-text.txt') } }] },
      ],
    };
    const plan = await bench.command('studies.plan', { spec: broken });
    const errors = plan.problems.filter((problem) => problem.severity === 'error').map((problem) => `${problem.where} ${problem.message}`);
    for (const part of ['nowhere', 'missing.jsonl', 'no-text.txt', 'W2G128']) expect(errors.join('\n')).toContain(part);
    expect(plan.problems.every((problem) => problem.hint.length > 5)).toBe(true);

    const refused = await bench.services.dispatch('studies.create', { spec: broken });
    expect(refused).toMatchObject({ ok: false, error: { code: 'recipe-invalid' } });
    expect(!refused.ok && refused.error.problems!.length).toBeGreaterThanOrEqual(4);
    expect(await bench.command('studies.list', {})).toEqual([]);
  });

  it('names a backend that does not work here before anything starts', async (context) => {
    const bench = workbench();
    const missing = (await bench.command('app.doctor', {})).backends.find(({ available }) => !available);
    if (!missing) return context.skip('every backend works on this machine');
    await bench.command('project.create', { path: path.join(folder, 'backend.roundoff') });
    const spec = { ...baselineOnly, backend: missing.name };
    const { problems } = await bench.command('studies.plan', { spec });
    expect(problems).toContainEqual(expect.objectContaining({ severity: 'error', where: `backend ${missing.name}` }));
    const refused = await bench.services.dispatch('studies.create', { spec });
    expect(refused).toMatchObject({ ok: false, error: { code: 'recipe-invalid', message: expect.stringContaining(missing.name) } });
  });

  it('fails the run, not the study, when calibration text turns out too short', async () => {
    const bench = workbench();
    await bench.command('project.create', { path: path.join(folder, 'short.roundoff') });
    const text = path.join(folder, 'short.txt');
    writeFileSync(text, 'Tom has three apples.\n');
    const spec = tinyStudy(modelDir, 1);
    const gptq = spec.variants[1]!.stages[0]!;
    if (gptq.type !== 'quantize' || gptq.method !== 'gptq') throw new Error('the second variant is GPTQ');
    const variants = [{ name: 'short', stages: [{ ...gptq, calibration: { ...gptq.calibration, path: text } }] }, spec.variants[0]!];
    const study = await bench.command('studies.create', { spec: { ...spec, variants } });
    await bench.settled();
    const runs = await bench.command('runs.list', { studyId: study.id });
    expect(runs.map((run) => run.status)).toEqual(['finished', 'failed', 'finished']);
    expect(runs[1]!.error).toMatchObject({ code: 'calibration-too-short' });
    expect(runs[1]!.error!.message).toContain(text);
    const comparison = await bench.command('studies.show', { studyId: study.id });
    expect(comparison.complete).toBe(false);
    expect(comparison.rows[1]!.notes.join(' ')).toContain(text);
  });
});

/** A browser's side of the connection, as the renderer speaks it. */
async function connect(url: string) {
  const { origin, hash } = new URL(url);
  const socket = new WebSocket(origin.replace('http', 'ws'), [socketProtocol, `token.${hash.slice('#token='.length)}`], { origin });
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  let nextId = 0;
  return {
    command<T>(name: string, input: unknown): Promise<T> {
      const id = ++nextId;
      return new Promise((resolve, reject) => {
        const listener = (data: unknown) => {
          const message = JSON.parse(String(data)) as { id?: number; result?: CommandResult<T> };
          if (message.id !== id) return;
          socket.off('message', listener);
          if (message.result!.ok) resolve(message.result!.value);
          else reject(new Error(message.result!.error.message));
        };
        socket.on('message', listener);
        socket.send(JSON.stringify({ id, name, input }));
      });
    },
    nextEvent(matches: (event: HostEvent) => boolean): Promise<void> {
      return new Promise((resolve) => {
        socket.on('message', (data) => {
          const message = JSON.parse(String(data)) as { event?: HostEvent };
          if (message.event && matches(message.event)) resolve();
        });
      });
    },
    close: () => socket.terminate(),
  };
}
