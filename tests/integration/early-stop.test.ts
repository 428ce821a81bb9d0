/** Benchmarks that end at a wanted precision: real workers, watched, killed and resumed. */
import path from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { StudySpec } from '#contract/recipe.ts';
import type { HostEvent } from '#contract/records.ts';
import type { RunEvent } from '#contract/worker.ts';
import { tinyStudy, Workbench, workerProcesses } from '../support/study-run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { writeTinyModel } from '../support/tiny-model.ts';

const folder = temporaryFolder('early-stop');
const modelDir = path.join(folder, 'tiny');
const problems = 80;
const plain = tinyStudy(modelDir, problems);
/** A model that is hardly ever right: ±10 points are reached after 40 problems, the third look. */
const spec: StudySpec = {
  ...plain,
  variants: plain.variants.slice(0, 1),
  protocol: { ...plain.protocol, precision: { points: 10, lookEvery: 10, leastProblems: 20 } },
};
const countedPerRun = 2 * 40 * 3;
const open: Workbench[] = [];
let count = 0;

async function workbench(): Promise<Workbench> {
  const bench = new Workbench(path.join(folder, 'home'));
  open.push(bench);
  await bench.command('project.create', { path: path.join(folder, `p${++count}.roundoff`) });
  return bench;
}

const eventsOf = (bench: Workbench, runId: string): RunEvent[] =>
  bench.events.flatMap((event) => (event.type === 'run-events' && event.runId === runId ? event.events : []));
/** Resolves once a run has recorded so many samples. */
const samplesOf = (runId: string, least: number) => {
  let seen = 0;
  return (event: HostEvent) => {
    if (event.type === 'run-events' && event.runId === runId) seen += event.events.filter((item) => item.type === 'sample').length;
    return seen >= least;
  };
};

async function storedSamples(bench: Workbench, studyId: number, runId: string) {
  const page = await bench.command('samples.query', { studyId, runId, limit: 500 });
  expect(page.total).toBe(page.rows.length);
  const samples = page.rows.map(({ id: _id, ...sample }) => sample);
  return samples.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

let undisturbed: { rows: unknown; samples: unknown };

beforeAll(async () => {
  await writeTinyModel(modelDir);
  const bench = await workbench();
  const study = await bench.command('studies.create', { spec });
  const [baseline] = await bench.command('runs.list', { studyId: study.id });
  await bench.settled();
  undisturbed = { rows: await bench.rows(study.id), samples: await storedSamples(bench, study.id, baseline!.id) };
});
afterEach(async () => {
  for (const bench of open.splice(0)) await bench.services.close();
});

describe('a study with a wanted precision', () => {
  it('ends its benchmarks early, records it and compares what both runs have', async () => {
    const rows = undisturbed.rows as { status: string; drop: unknown; benchmarks: { problems: number }[]; notes: string[] }[];
    expect(rows).toHaveLength(2);
    for (const row of rows) {
      expect(row).toMatchObject({ status: 'finished', benchmarks: [{ problems: 40 }, { problems: 40 }] });
      expect(row.notes).toEqual(
        ['sums', 'chains'].map((name) =>
          expect.stringMatching(`^${name}: stopped after 40 of 80 problems, known to ±\\d\\.\\d points\\.$`),
        ),
      );
    }
    expect(rows[1]!.drop).not.toBeNull();
    expect(undisturbed.samples).toHaveLength(countedPerRun);
  });

  it('shows how benchmarks stand while it runs, also to who comes later', async () => {
    const bench = await workbench();
    const study = await bench.command('studies.create', { spec: { ...spec, variants: [] } });
    const [run] = await bench.command('runs.list', { studyId: study.id });
    await bench.when(samplesOf(run!.id, 90));
    const { run: now, lastSeq } = await bench.command('runs.snapshot', { runId: run!.id });
    const last = eventsOf(bench, run!.id).findLast((event) => event.type === 'progress' && event.seq <= lastSeq);
    expect(now.progress?.benchmarks).toEqual(last?.type === 'progress' && last.benchmarks);
    expect(now.progress?.benchmarks).toMatchObject([
      { benchmark: 'sums', of: problems },
      { benchmark: 'chains', of: problems },
    ]);
    await bench.settled();
    const all = eventsOf(bench, run!.id).flatMap((event) => (event.type === 'progress' ? [event.benchmarks!] : []));
    const widths = all.flatMap(([sums]) => (sums!.accuracy ? [sums!.accuracy.high - sums!.accuracy.low] : []));
    expect(widths.length).toBeGreaterThan(1);
    expect(widths).toEqual([...widths].sort((a, b) => b - a));
    expect(all.at(-1)).toMatchObject([
      { problems: 40, done: 120, total: 120, stopped: true },
      { problems: 40, done: 120, total: 120, stopped: true },
    ]);
    const { metrics } = await bench.command('runs.snapshot', { runId: run!.id });
    expect(metrics.find(({ name }) => name === 'accuracy-high/sums')!.points.at(-1)).toMatchObject({ step: 40 });
  });

  it('ends with the same samples when it is killed on the way, whatever had been made beyond', async () => {
    const bench = await workbench();
    const study = await bench.command('studies.create', { spec });
    const [baseline, variant] = await bench.command('runs.list', { studyId: study.id });
    for (const [run, least] of [
      [baseline!, 50],
      [baseline!, 170],
      [variant!, 110],
    ] as const) {
      await bench.when(samplesOf(run.id, least));
      for (const pid of workerProcesses()) process.kill(pid, 'SIGKILL');
      await bench.settled();
      for (const each of await bench.command('runs.list', { studyId: study.id }))
        if (each.status !== 'finished') await bench.command('runs.resume', { runId: each.id });
    }
    await bench.settled();
    expect(await bench.rows(study.id)).toEqual(undisturbed.rows);
    expect(await storedSamples(bench, study.id, baseline!.id)).toEqual(undisturbed.samples);
    const stops = eventsOf(bench, baseline!.id).filter((event) => event.type === 'benchmark-stopped');
    expect(stops.length).toBeGreaterThanOrEqual(2);
  });
});
