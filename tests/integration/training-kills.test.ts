/**
 * Training that is killed at random instants and resumed ends with the weights of an undisturbed run, bit for bit, and the project file stays
 * sound. `ROUNDOFF_KILLS` raises the kills per recipe; `ROUNDOFF_KILL_RECIPES` (as `kd,grpo`) chooses among them.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, describe, expect, it } from 'vitest';
import { type StudySpec, studySpecSchema } from '#contract/recipe.ts';
import type { RunRecord, RunSnapshot } from '#contract/records.ts';
import { parseScheme } from '#contract/scheme.ts';
import { RandomStream } from '../../src-main/engine/data/random-stream.ts';
import { Workbench, workerProcesses } from '../support/study-run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { testBackend } from '../support/test-backend.ts';

/** Other backends are slower on a processor, so they get fewer kills, fewer steps and more time. */
const isFast = testBackend === 'wasm';
const kills = Number(process.env.ROUNDOFF_KILLS ?? (isFast ? 4 : 2));
const timeout = (isFast ? 1 : 4) * (60_000 + kills * 60_000);
const chosen = process.env.ROUNDOFF_KILL_RECIPES?.split(',') ?? ['sft', 'kd', 'grpo'];
const seed = Number(process.env.ROUNDOFF_KILL_SEED ?? 1);
const folder = temporaryFolder('training-kills');
const open: Workbench[] = [];

const data = { path: 'sample:training/abacus.jsonl', limit: 200, maxTokens: 256 };
const rate = (learningRate: number) => ({ learningRate, warmupSteps: 2 });
const quantize = { type: 'quantize', method: 'rtn', scheme: parseScheme('W3G32') };
const recipes: Record<string, object[]> = {
  sft: [
    {
      type: 'train',
      objective: { kind: 'sft' },
      trains: { kind: 'weights' },
      data,
      steps: isFast ? 24 : 9,
      batchSize: 4,
      accumulation: 2,
      optimizer: rate(1e-4),
      checkpointEvery: 3,
    },
  ],
  kd: [
    quantize,
    {
      type: 'train',
      objective: { kind: 'kd' },
      trains: { kind: 'quantized' },
      data,
      steps: isFast ? 16 : 6,
      batchSize: 8,
      optimizer: rate(3e-4),
      checkpointEvery: 2,
      evaluation: { every: isFast ? 6 : 4, problems: 2 },
    },
  ],
  grpo: [
    {
      ...{
        type: 'train',
        trains: { kind: 'weights' },
        data,
        steps: isFast ? 9 : 3,
        batchSize: 8,
        optimizer: rate(1e-5),
        checkpointEvery: 1,
      },
      objective: { kind: 'rl', promptsPerStep: 3, groupSize: 4, maxNewTokens: 96, updatesPerRollout: 2 },
    },
  ],
};

function study(stages: object[]): StudySpec {
  return studySpecSchema.parse({
    name: 'Training',
    models: ['sample:abacus'],
    variants: [{ name: 'trained', stages }],
    benchmarks: [{ name: 'sums', path: 'sample:benchmarks/abacus-sums.jsonl' }],
    protocol: {
      ...{ temperature: 0, topP: 1, topK: 0, maxNewTokens: 48, seeds: [1], systemPrompt: null },
      ...{ promptTemplate: '{question}', verifier: 'maths-1', problemsPerBenchmark: 3 },
    },
    backend: testBackend,
  });
}

afterEach(async () => {
  for (const bench of open.splice(0)) await bench.services.close();
});

/** A project with the study in it, whose baseline has finished. */
async function begin(name: string, spec: StudySpec): Promise<{ bench: Workbench; run: RunRecord; file: string }> {
  const bench = new Workbench(path.join(folder, 'home'));
  open.push(bench);
  const file = path.join(folder, `${name}.roundoff`);
  await bench.command('project.create', { path: file });
  const record = await bench.command('studies.create', { spec });
  const [baseline, run] = await bench.command('runs.list', { studyId: record.id });
  await bench.ended(baseline!.id);
  return { bench, run: run!, file };
}

/** What must not depend on kills: hashes of all folders, summaries without times and memory, every recorded figure of training. */
function outcome({ stages, artifacts, metrics }: RunSnapshot) {
  const timeless = /tokens-per-second|memory-bytes/;
  return {
    files: artifacts
      .filter(({ kind }) => kind === 'checkpoint')
      .map(({ path: file, sha256 }) => [file, sha256])
      .sort(),
    summaries: stages.map(({ type, summary }) => [
      type,
      JSON.stringify(summary, (key, value) => (/[tT]okens-?[pP]er-?[sS]econd|[mM]emoryBytes/.test(key) ? undefined : (value as unknown))),
    ]),
    metrics: metrics.filter(({ stage, name }) => stages[stage]!.type === 'train' && !timeless.test(name)),
  };
}

function checkSound(file: string): void {
  const db = new Database(file, { readonly: true });
  expect(db.pragma('integrity_check', { simple: true })).toBe('ok');
  expect(db.pragma('foreign_key_check')).toEqual([]);
  db.close();
}

/** Resolves when a training step is reported from now on. */
function nextStep(bench: Workbench): Promise<void> {
  return new Promise((resolve) => {
    const unsubscribe = bench.services.onEvent((event) => {
      if (event.type !== 'run-events' || !event.events.some((item) => item.type === 'metric' && item.name === 'gradient-norm')) return;
      unsubscribe();
      resolve();
    });
  });
}

const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

describe.each(Object.entries(recipes).filter(([name]) => chosen.includes(name)))('training by %s', (name, stages) => {
  it(`is the same after ${kills} kills at random instants`, { timeout }, async () => {
    const spec = study(stages);
    const whole = await begin(`${name}-whole`, spec);
    const startedAt = performance.now();
    expect((await whole.bench.ended(whole.run.id)).status).toBe('finished');
    const wholeMs = performance.now() - startedAt;
    const expected = outcome(await whole.bench.command('runs.snapshot', { runId: whole.run.id }));
    expect(expected.files.length).toBeGreaterThanOrEqual(stages.length);
    await whole.bench.services.close();

    const random = new RandomStream(seed, 'kills', name);
    let done = 0;
    for (let attempt = 0; done < kills; attempt++) {
      const { bench, run, file } = await begin(`${name}-${attempt}`, spec);
      while (done < kills) {
        // Every second kill waits until this execution trains; the others may come before it does.
        const ended = bench.ended(run.id);
        if (done % 2 === 1) await Promise.race([nextStep(bench), ended]);
        await Promise.race([wait(random.uniform() * Math.max(1200, (2 * wholeMs) / Math.max(4, kills))), ended]);
        const pids = workerProcesses();
        if (pids.length === 0) break;
        for (const pid of pids) process.kill(pid, 'SIGKILL');
        const { status } = await bench.ended(run.id);
        if (status === 'finished') break;
        expect(status).toBe('interrupted');
        done++;
        checkSound(file);
        await bench.command('runs.resume', { runId: run.id });
      }
      expect((await bench.ended(run.id)).status).toBe('finished');
      expect(outcome(await bench.command('runs.snapshot', { runId: run.id }))).toEqual(expected);
      const { artifactsDir } = (await bench.command('project.current', {}))!;
      for (const index of stages.keys()) expect(existsSync(path.join(artifactsDir, run.id, `stage-${index}.work`))).toBe(false);
      await bench.services.close();
      checkSound(file);
    }
  });
});
