import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { RunEvent, RunRequest } from '#contract/worker.ts';
import { type SupervisorTimeouts, WorkerSupervisor } from '../../../src-main/runs/supervisor.ts';
import { workerEnvironment } from '../../../src-main/runs/worker-environment.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const folder = temporaryFolder('supervisor');
let count = 0;

const request: RunRequest = {
  runId: 'r1',
  recipe: { name: 'x', description: '', stages: [] },
  modelDir: '/m',
  outputDir: '/o',
  seed: 1,
  backend: 'auto',
  expectedTokens: new Map(),
  resume: { lastSeq: 0, finishedStages: [], checkpoints: [], recordedSamples: [], recordedWindows: [] },
};

/** Starts a real process with the given script as its worker. */
function start(script: string, timeouts: Partial<SupervisorTimeouts> = {}) {
  const file = path.join(folder, `worker-${++count}.mjs`);
  writeFileSync(file, script);
  const events: RunEvent[] = [];
  const supervisor = new WorkerSupervisor(request, {
    nodeFile: process.execPath,
    workerEntry: file,
    timeouts: { readyMs: 20_000, silenceMs: 20_000, stopMs: 20_000, ...timeouts },
    onEvents: (batch) => events.push(...batch),
  });
  return { supervisor, events };
}

const ready = "process.send({ type: 'ready', pid: process.pid, node: process.version });";
const log = (seq: number) => `{ type: 'log', level: 'info', message: 'm', runId: 'r1', seq: ${seq}, at: 0 }`;

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe('WorkerSupervisor', () => {
  it('sends the request once the worker is ready and delivers everything before it says the worker is gone', async () => {
    const { supervisor, events } = start(`
      process.on('message', (message) => {
        if (message.type !== 'run' || message.request.runId !== 'r1') process.exit(9);
        for (let seq = 1; seq <= 50; seq++) process.send({ type: 'events', events: [${log(0).replace('seq: 0', 'seq')}] });
        process.disconnect();
      });
      ${ready}`);
    expect(supervisor.state).toBe('starting');
    const exit = await supervisor.done;
    expect(exit).toMatchObject({ state: 'exited', code: 0, signal: null, reason: null });
    expect(events.map((event) => event.seq)).toEqual(Array.from({ length: 50 }, (_, index) => index + 1));
  });

  it('keeps the end of the output of a worker that crashed', async () => {
    const { supervisor } = start(
      `${ready} process.on('message', () => { console.error('x'.repeat(20000)); console.error('the reason'); process.exit(7); });`,
    );
    const exit = await supervisor.done;
    expect(exit).toMatchObject({ state: 'crashed', code: 7 });
    expect(exit.output.endsWith('the reason')).toBe(true);
    expect(exit.output.length).toBeLessThan(9000);
  });

  it('ends a process that stays after the last event of its run', async () => {
    const { supervisor, events } = start(
      `${ready} setInterval(() => {}, 1000);
      process.on('message', () => process.send({ type: 'events', events: [{ type: 'finished', runId: 'r1', seq: 1, at: 0 }] }));`,
      { stopMs: 300 },
    );
    expect(await supervisor.done).toMatchObject({ state: 'crashed', reason: 'it did not end after its work (0 s)' });
    expect(events).toHaveLength(1);
  });

  it('names the signal that ended a worker', async () => {
    const { supervisor } = start(`${ready} setInterval(() => {}, 1000);`);
    await until(() => supervisor.state === 'running');
    process.kill(supervisor.pid!, 'SIGKILL');
    expect(await supervisor.done).toMatchObject({ state: 'crashed', signal: 'SIGKILL', reason: null });
  });

  it('crashes when a worker leaves before it was asked anything', async () => {
    const { supervisor } = start('process.exit(0);');
    expect((await supervisor.done).state).toBe('crashed');
  });

  it('reports a runtime that is not there', async () => {
    const supervisor = new WorkerSupervisor(request, {
      nodeFile: path.join(folder, 'no-node'),
      workerEntry: 'x.mjs',
      onEvents: () => undefined,
    });
    const exit = await supervisor.done;
    expect(exit.state).toBe('crashed');
    expect(exit.reason).toContain('no-node');
  });

  it('kills a worker that does not become ready, or falls silent', async () => {
    const silent = start('setInterval(() => {}, 1000);', { readyMs: 300 });
    expect((await silent.supervisor.done).reason).toContain('ready');
    const hanging = start(`${ready} setInterval(() => {}, 1000);`, { silenceMs: 300 });
    expect((await hanging.supervisor.done).reason).toContain('no sign of life');
  });

  it('lets heartbeats keep a quiet worker alive', async () => {
    const { supervisor } = start(
      `${ready} process.on('message', () => { let beats = 0; setInterval(() => { process.send({ type: 'heartbeat' }); if (++beats === 20) process.disconnect(), process.exit(0); }, 50); });`,
      { silenceMs: 900 },
    );
    expect((await supervisor.done).state).toBe('exited');
  });

  it('asks first and kills a worker that does not listen', async () => {
    const polite = start(`${ready} process.on('message', ({ type }) => { if (type === 'cancel') process.exit(0); });`);
    await until(() => polite.supervisor.state === 'running');
    polite.supervisor.requestEnd('cancel');
    expect(polite.supervisor.state).toBe('stopping');
    expect(await polite.supervisor.done).toMatchObject({ state: 'exited', code: 0, reason: null });

    const deaf = start(`${ready} process.on('message', () => {});`, { stopMs: 300 });
    await until(() => deaf.supervisor.state === 'running');
    deaf.supervisor.requestEnd('stop');
    const exit = await deaf.supervisor.done;
    expect(exit.state).toBe('exited');
    expect(exit.reason).toContain('did not stop');
  });

  it('ends a worker whose events cannot be recorded', async () => {
    const file = path.join(folder, 'unrecorded.mjs');
    writeFileSync(
      file,
      `${ready} process.on('message', () => { process.send({ type: 'events', events: [${log(1)}] }); setInterval(() => {}, 1000); });`,
    );
    const supervisor = new WorkerSupervisor(request, {
      nodeFile: process.execPath,
      workerEntry: file,
      onEvents: () => {
        throw new Error('no space left');
      },
    });
    expect((await supervisor.done).reason).toContain('no space left');
  });
});

describe('workerEnvironment', () => {
  it('passes on what libraries need and nothing else', () => {
    const env = workerEnvironment({
      PATH: '/bin',
      VK_ICD_FILENAMES: 'x',
      ROUNDOFF_HOME: '/h',
      NODE_OPTIONS: '--inspect',
      AWS_SECRET: 's',
      npm_token: 't',
    });
    expect(env).toEqual({ PATH: '/bin', VK_ICD_FILENAMES: 'x', ROUNDOFF_HOME: '/h', ROUNDOFF_RUNTIMES: '/h/runtimes' });
  });
});
