/** A study tried before it runs, with real processes: what it predicts, what it leaves behind, how it ends early. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type StudySpec, studySpecSchema } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { Workbench, workerProcesses } from '../support/study-run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { testBackend } from '../support/test-backend.ts';

const folder = temporaryFolder('trial');
const open: Workbench[] = [];
let count = 0;

async function workbench(): Promise<Workbench> {
  const bench = new Workbench(path.join(folder, 'home'));
  open.push(bench);
  await bench.command('project.create', { path: path.join(folder, `p${++count}.roundoff`) });
  return bench;
}
afterEach(async () => {
  for (const bench of open.splice(0)) await bench.services.close();
});

const train = {
  ...{ type: 'train', objective: { kind: 'sft' }, trains: { kind: 'weights' } },
  data: { path: 'sample:training/abacus.jsonl', limit: 200, maxTokens: 256 },
  ...{ steps: 100_000, batchSize: 4, optimizer: { learningRate: 1e-4, warmupSteps: 2 } },
};

function study(problems: number | null, change: object = {}): StudySpec {
  return studySpecSchema.parse({
    name: 'Tried',
    models: ['sample:abacus'],
    variants: [
      { name: 'W4', stages: [{ type: 'quantize', method: 'rtn', scheme: parseScheme('W4') }] },
      { name: 'W3', stages: [{ type: 'quantize', method: 'rtn', scheme: parseScheme('W3') }] },
      { name: 'trained', stages: [train] },
    ],
    benchmarks: [{ name: 'sums', path: 'sample:benchmarks/abacus-sums.jsonl' }],
    protocol: {
      ...{ temperature: 0.6, topP: 0.95, topK: 0, maxNewTokens: 96, seeds: [1, 2, 3], systemPrompt: null },
      ...{ promptTemplate: '{question}', verifier: 'maths-1', problemsPerBenchmark: problems },
      ...change,
    },
    backend: testBackend,
  });
}

describe('a study that is tried', () => {
  it('tells what each kind of run takes, records nothing and leaves nothing behind', async () => {
    const bench = await workbench();
    const trial = await bench.command('studies.try', { spec: study(20) });
    expect(trial.rows.map(({ name, runs, stages }) => [name, runs, stages.map(({ isWhole }) => isWhole)])).toEqual([
      ['baseline', 1, [true]],
      ['W4', 2, [true, true]],
      ['trained', 1, [false, true]],
    ]);
    const [baseline, , trained] = trial.rows;
    expect(baseline!.stages[0]!.basis).toMatch(/all completions were made; one of \d+ tokens, the longest there may be, took/);
    expect(baseline!.stages[0]!.tokensPerSecond).toBeGreaterThan(0);
    const [training] = trained!.stages;
    expect(training!.basis).toMatch(/^\d+ of 100000 steps were executed/);
    expect(training!.elapsedMs).toBeGreaterThan(100 * training!.triedMs);
    const sum = trial.rows.reduce((total, row) => total + row.runs * row.elapsedMs, 0);
    expect(trial.elapsedMs).toBeCloseTo(sum, 3);
    for (const { peakMemoryBytes } of trial.rows) expect(peakMemoryBytes).toBeGreaterThan(50 * 2 ** 20);
    expect(trial.problems).toEqual([]);
    expect(await bench.command('studies.list', {})).toEqual([]);
    const { artifactsDir } = (await bench.command('project.current', {}))!;
    expect(readdirSync(artifactsDir).filter((name) => !name.startsWith('.lock'))).toEqual([]);
    expect(bench.events.some((event) => event.type === 'trial-progress' && event.progress.name === 'trained')).toBe(true);
  });

  it('ends when it is cancelled, with its process and its files', async () => {
    const bench = await workbench();
    const tried = bench.command('studies.try', { spec: study(null) });
    tried.catch(() => undefined);
    await bench.when((event) => event.type === 'trial-progress' && event.progress.detail.includes('completions'));
    await expect(bench.command('studies.create', { spec: study(null) })).rejects.toThrow('A study is being tried.');
    await bench.command('studies.cancelTrial', {});
    await expect(tried).rejects.toMatchObject({ code: 'cancelled' });
    expect(workerProcesses()).toEqual([]);
    const { artifactsDir } = (await bench.command('project.current', {}))!;
    expect(readdirSync(artifactsDir).filter((name) => !name.startsWith('.lock'))).toEqual([]);
  });

  it('is refused for a study that cannot run, and beside running runs', async () => {
    const bench = await workbench();
    await expect(bench.command('studies.try', { spec: study(null, { maxNewTokens: 100_000 }) })).rejects.toMatchObject({
      code: 'recipe-invalid',
    });
    await bench.command('studies.create', { spec: study(20) });
    await expect(bench.command('studies.try', { spec: study(20) })).rejects.toThrow('Runs are queued or running');
  });
});
