/**
 * An evaluation of 2,000 problems whose worker is killed at ten random instants ends with the rows of an undisturbed one, loses no completion
 * that was recorded, and, when asked for again, generates nothing. `ROUNDOFF_KILL_SEED` draws other instants.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, describe, expect, it } from 'vitest';
import { type StudySpec, studySpecSchema } from '#contract/recipe.ts';
import type { HostEvent, RunRecord } from '#contract/records.ts';
import type { EvaluateSummary } from '#contract/worker.ts';
import { RandomStream } from '../../src-main/engine/data/random-stream.ts';
import { drawDistinctProblems, taskByName } from '../../src-main/engine/sample/problems.ts';
import type { TaskName } from '../../src-main/engine/sample/types.ts';
import { Workbench, workerProcesses } from '../support/study-run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { testBackend } from '../support/test-backend.ts';

/** Other backends are slower on a processor, so they get fewer of both. */
const [kills, problemsEach] = testBackend === 'wasm' ? [10, 500] : [3, 15];
const seed = Number(process.env.ROUNDOFF_KILL_SEED ?? 1);
const tasks: TaskName[] = ['abacus-sums', 'abacus-products', 'abacus-divisors', 'abacus-chains'];
const folder = temporaryFolder('evaluation-kills');
const open: Workbench[] = [];

afterEach(async () => {
  for (const bench of open.splice(0)) await bench.services.close();
});

function study(): StudySpec {
  return studySpecSchema.parse({
    name: '2,000 problems',
    models: ['sample:abacus'],
    variants: [],
    benchmarks: tasks.map((name) => ({ name, path: path.join(folder, `${name}.jsonl`) })),
    protocol: {
      ...{ temperature: 0.6, topP: 0.95, topK: 0, maxNewTokens: 192, seeds: [7], systemPrompt: null },
      ...{ promptTemplate: '{question}', verifier: 'maths-1', problemsPerBenchmark: null },
    },
    backend: testBackend,
  });
}

function writeBenchmarks(): void {
  for (const name of tasks) {
    const problems = drawDistinctProblems(taskByName(name), 'test', problemsEach, new RandomStream(1, 'evaluation-kills', name));
    const rows = problems.map(({ question, answer }, index) => JSON.stringify({ id: `${index}`, problem: question, answer }));
    writeFileSync(path.join(folder, `${name}.jsonl`), rows.join('\n'));
  }
}

async function begin(name: string): Promise<{ bench: Workbench; run: RunRecord; file: string }> {
  const bench = new Workbench(path.join(folder, 'home'));
  open.push(bench);
  const file = path.join(folder, `${name}.roundoff`);
  await bench.command('project.create', { path: file });
  return { bench, run: await startStudy(bench), file };
}

async function startStudy(bench: Workbench): Promise<RunRecord> {
  const { id } = await bench.command('studies.create', { spec: study() });
  return (await bench.command('runs.list', { studyId: id }))[0]!;
}

/** Every column of a run's samples but those that name the run, in an order of their own. */
function rowsOf(file: string, runId: string): object[] {
  const db = new Database(file, { readonly: true });
  const rows = db.prepare('SELECT * FROM samples WHERE run_id = ? ORDER BY benchmark, seed, problem_id').all(runId) as object[];
  expect(db.pragma('integrity_check', { simple: true })).toBe('ok');
  db.close();
  return rows.map((row) => ({ ...row, id: undefined, run_id: undefined }));
}

/** Completions that a run's worker reported, with what it is told to resume from left out. */
const generated = (events: readonly HostEvent[], runId: string) =>
  events.flatMap((event) =>
    event.type === 'run-events' && event.runId === runId ? event.events.filter(({ type }) => type === 'sample') : [],
  ).length;

const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

function nextSample(bench: Workbench, runId: string): Promise<void> {
  return new Promise((resolve) => {
    const unsubscribe = bench.services.onEvent((event) => {
      if (generated([event], runId) === 0) return;
      unsubscribe();
      resolve();
    });
  });
}

describe(`an evaluation of ${4 * problemsEach} problems`, () => {
  it(`killed ${kills} times ends as one undisturbed; asked for again, it generates nothing`, { timeout: 600_000 }, async () => {
    writeBenchmarks();
    const whole = await begin('whole');
    const startedAt = performance.now();
    expect((await whole.bench.ended(whole.run.id)).status).toBe('finished');
    const wholeMs = performance.now() - startedAt;
    const expected = rowsOf(whole.file, whole.run.id);
    expect(expected).toHaveLength(tasks.length * problemsEach);
    await whole.bench.services.close();

    const random = new RandomStream(seed, 'kills', 'evaluation');
    const { bench, run, file } = await begin('killed');
    for (let done = 0; done < kills; done++) {
      const ended = bench.ended(run.id);
      // Every second kill waits until this execution generates; the others may come before it does.
      if (done % 2 === 1) await Promise.race([nextSample(bench, run.id), ended]);
      await Promise.race([wait((random.uniform() * wholeMs) / (2 * kills)), ended]);
      while (workerProcesses().length === 0) await wait(5);
      for (const pid of workerProcesses()) process.kill(pid, 'SIGKILL');
      expect((await bench.ended(run.id)).status).toBe('interrupted');
      const recorded = (await bench.command('samples.query', { studyId: run.studyId, runId: run.id })).total;
      expect(recorded).toBe(generated(bench.events, run.id));
      await bench.command('runs.resume', { runId: run.id });
    }
    expect((await bench.ended(run.id)).status).toBe('finished');
    expect(generated(bench.events, run.id)).toBe(expected.length);
    expect(rowsOf(file, run.id)).toEqual(expected);

    const again = await startStudy(bench);
    expect((await bench.ended(again.id)).status).toBe('finished');
    expect(generated(bench.events, again.id)).toBe(0);
    expect(rowsOf(file, again.id)).toEqual(expected);
    const { stages, log } = await bench.command('runs.snapshot', { runId: again.id });
    expect((stages.at(-1)!.summary as EvaluateSummary).samples).toBe(expected.length);
    expect(log.map(({ message }) => message).join('\n')).toContain(`${expected.length} completions taken over from "baseline"`);
  });
});
