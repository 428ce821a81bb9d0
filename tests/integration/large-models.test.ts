/** Quantizing layer by layer in processes that are killed, on disks that fill up, and within the memory that was estimated. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseScheme } from '#contract/scheme.ts';
import type { QuantizeSummary } from '#contract/worker.ts';
import type { ChildOptions } from '../support/quantize-child.ts';
import { root, tinyStudy, Workbench, workerProcesses } from '../support/study-run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { writeTinyModel } from '../support/tiny-model.ts';

const folder = temporaryFolder('large');
const deep = path.join(folder, 'deep');
const wide = path.join(folder, 'wide');
const child = path.join(root, 'tests/support/quantize-child.ts');
const calibration = { path: 'given', samples: 32, sequenceLength: 128, seed: 0 };
const gptq = { type: 'quantize', method: 'gptq', scheme: parseScheme('W3G32'), calibration };
let count = 0;

beforeAll(async () => {
  await writeTinyModel(deep, 7, { hidden_size: 128, intermediate_size: 256, num_hidden_layers: 8 });
  const heads = { num_attention_heads: 8, num_key_value_heads: 4, head_dim: 64 };
  await writeTinyModel(wide, 7, { ...heads, hidden_size: 512, intermediate_size: 1536, max_position_embeddings: 1024 });
});

function optionsOf(sourceDir: string, stage: object): ChildOptions {
  return { sourceDir, outDir: path.join(folder, `out${++count}`), stage, vocabSize: 40 };
}

function run(options: ChildOptions, before: string[] = []): Record<string, unknown> {
  const [command, ...args] = [...before, process.execPath, child, JSON.stringify(options)];
  const result = spawnSync(command!, args, { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(result.stderr);
  return JSON.parse(result.stdout.trim().split('\n').at(-1)!) as Record<string, unknown>;
}

/** Kills the process without warning as soon as it has begun linear number `linear`. */
async function runAndKill(options: ChildOptions, linear: number): Promise<void> {
  const running = spawn(process.execPath, [child, JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => running.once('exit', (_, signal) => resolve(signal)));
  for await (const line of createInterface(running.stdout)) if (Number.parseInt(line, 10) >= linear) running.kill('SIGKILL');
  expect(await ended).toBe('SIGKILL');
}

describe('a process that is killed', () => {
  it.each([
    ['GPTQ', gptq],
    ['GPTQ with hidden states on disk', { ...gptq, spillActivations: true }],
    ['QuaRot', { ...gptq, method: 'quarot', scheme: parseScheme('W4A8KV8') }],
  ])('%s: loses no finished layer, and what it ends with is the same', async (_, stage) => {
    const undisturbed = run(optionsOf(deep, stage));
    const options = optionsOf(deep, stage);
    for (const linear of [2, 20, 45, 56]) await runAndKill(options, linear);
    expect(existsSync(options.outDir)).toBe(false);
    expect(run(options).sha256).toBe(undisturbed.sha256);
    expect(readdirSync(folder).filter((name) => name.startsWith(path.basename(options.outDir)))).toEqual([path.basename(options.outDir)]);
  });
});

describe('a run whose worker is killed between layers', () => {
  const open: Workbench[] = [];
  afterEach(async () => {
    for (const bench of open.splice(0)) await bench.services.close();
  });

  it('goes on after the last finished layer and saves the same checkpoint', async () => {
    const bench = new Workbench(path.join(folder, 'home'));
    open.push(bench);
    await bench.command('project.create', { path: path.join(folder, 'killed.roundoff') });
    const spec = tinyStudy(deep, 1);
    const stage = { ...spec.variants[1]!.stages[0]!, calibration: { ...calibration, path: 'sample:calibration/abacus.jsonl' } };
    const variants = [{ name: 'GPTQ', stages: [stage] }] as typeof spec.variants;
    const study = await bench.command('studies.create', { spec: { ...spec, variants, seeds: [1] } });
    await bench.settled();
    const finishedId = (await bench.command('runs.list', { studyId: study.id }))[1]!.id;

    const again = await bench.command('studies.create', { spec: { ...spec, name: 'Killed', variants, seeds: [1] } });
    const runId = (await bench.command('runs.list', { studyId: again.id }))[1]!.id;
    await bench.when(
      (event) =>
        event.type === 'run-events' &&
        event.runId === runId &&
        event.events.some((item) => item.type === 'progress' && item.unit === 'linears' && item.done >= 22 && item.done < 50),
    );
    for (const pid of workerProcesses()) process.kill(pid, 'SIGKILL');
    expect((await bench.ended(runId)).status).toBe('interrupted');
    await bench.command('runs.resume', { runId });
    await bench.settled();
    const [whole, resumed] = await Promise.all([finishedId, runId].map((id) => bench.command('runs.snapshot', { runId: id })));
    expect(resumed!.run.status).toBe('finished');
    const hash = (snapshot: typeof whole) => snapshot!.artifacts.find((artifact) => artifact.kind === 'checkpoint')!.sha256;
    expect(hash(resumed)).toBe(hash(whole));
    expect(bench.events.some((event) => JSON.stringify(event).includes('was finished before'))).toBe(true);
    const { layers } = resumed!.stages[0]!.summary as QuantizeSummary;
    expect(layers).toEqual((whole!.stages[0]!.summary as QuantizeSummary).layers);
  });
});

describe('a disk that fills up', () => {
  const unshare = spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'tmpfs', folder]);

  it('ends the run with the remedy, and with more room the run goes on', (context) => {
    if (unshare.status !== 0) return context.skip('a small disk takes the right to mount one');
    const disk = path.join(folder, 'disk');
    mkdirSync(disk);
    const options = { ...optionsOf(deep, gptq), outDir: path.join(disk, 'out') };
    const quoted = `'${process.execPath}' '${child}' '${JSON.stringify(options)}' | tail -n 1`;
    const script = [
      `mount -t tmpfs -o size=400k tmpfs '${disk}'`,
      quoted,
      `ls -A '${disk}'`,
      `mount -o remount,size=64m '${disk}'`,
      quoted,
      `ls -A '${disk}'`,
    ];
    const result = spawnSync('unshare', ['-m', 'sh', '-c', script.join('; ')], { encoding: 'utf8' });
    const [failed, left, finished, ...end] = result.stdout.trim().split('\n');
    expect(JSON.parse(failed!)).toMatchObject({ code: 'disk-full' });
    expect(left).toBe('out.work');
    expect(JSON.parse(finished!).sha256).toBe(run(optionsOf(deep, gptq)).sha256);
    expect(end).toEqual(['out']);
  });
});

describe('the estimate of memory', () => {
  const samples = { ...calibration, samples: 48, sequenceLength: 512 };
  const wideGptq = { ...gptq, calibration: samples, options: { mseSearch: false } };
  it.each([
    ['GPTQ', wideGptq],
    ['GPTQ with hidden states on disk', { ...wideGptq, spillActivations: true }],
    ['round to nearest', { type: 'quantize', method: 'rtn', scheme: parseScheme('W4G128') }],
  ])('%s: is within 20 % of the measured peak', (_, stage) => {
    const { peakMemoryBytes, estimatedMemoryBytes } = run(optionsOf(wide, stage)) as Record<string, number>;
    expect(estimatedMemoryBytes! / peakMemoryBytes!).toBeGreaterThan(0.8);
    expect(estimatedMemoryBytes! / peakMemoryBytes!).toBeLessThan(1.2);
  });
});
