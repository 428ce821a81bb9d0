// Tries a study, runs it, and prints what the trial predicted beside what then happened: of Abacus, and of a random model of Qwen3-0.6B's shape.
// Takes about fifteen minutes on two cores; `abacus` or `large` as an argument measures one of them, `baseline` after it its baseline alone.
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { CommandName, CommandOutput } from '#contract/commands.ts';
import { fromErrorInfo } from '#contract/errors.ts';
import { type StudySpec, studySpecSchema } from '#contract/recipe.ts';
import { finalRunStatuses } from '#contract/records.ts';
import { parseScheme } from '#contract/scheme.ts';
import type { StageSummary } from '#contract/worker.ts';
import { largeCheckpoint } from '../src-main/engine/bench/large.ts';
import { createServices, type Services } from '../src-main/ipc/services.ts';

const root = path.resolve(import.meta.dirname, '..');
const [which = 'both', part] = process.argv.slice(2);
const onlyBaseline = part === 'baseline';
const resourcesDir = path.join(root, 'resources');
const benchmarks = ['sums', 'binary', 'products', 'divisors', 'chains'].map((name) => ({
  name,
  path: `sample:benchmarks/abacus-${name}.jsonl`,
}));

function study(
  model: string,
  { problems, maxNewTokens, seeds }: { problems: number | null; maxNewTokens: number; seeds: number[] },
): StudySpec {
  const calibration = { path: 'sample:calibration/abacus.jsonl', samples: 64, sequenceLength: 128, seed: 0 };
  return studySpecSchema.parse({
    name: 'Measured',
    models: [model],
    variants: onlyBaseline
      ? []
      : [
          { name: 'RTN W4G128', stages: [{ type: 'quantize', method: 'rtn', scheme: parseScheme('W4G128') }] },
          { name: 'GPTQ W3G128', stages: [{ type: 'quantize', method: 'gptq', scheme: parseScheme('W3G128'), calibration }] },
        ],
    benchmarks,
    protocol: {
      ...{ temperature: 0.6, topP: 0.95, topK: 0, maxNewTokens, seeds, systemPrompt: null },
      ...{ promptTemplate: '{question}', verifier: 'maths-2', problemsPerBenchmark: problems },
    },
    backend: 'wasm',
  });
}

/** Random weights speak of nothing: Abacus's tokenizer serves. */
async function largeModel(): Promise<string> {
  const dir = await largeCheckpoint(28);
  for (const name of ['tokenizer.json', 'tokenizer_config.json'])
    await copyFile(path.join(resourcesDir, 'sample/abacus', name), path.join(dir, name));
  return dir;
}

async function command<K extends CommandName>(services: Services, name: K, input: unknown): Promise<CommandOutput<K>> {
  const result = await services.dispatch(name, input);
  if (!result.ok) throw fromErrorInfo(result.error);
  return result.value;
}

async function runToEnd(services: Services, spec: StudySpec) {
  const { id } = await command(services, 'studies.create', { spec });
  for (;;) {
    const runs = await command(services, 'runs.list', { studyId: id });
    if (runs.every(({ status }) => finalRunStatuses.includes(status)))
      return Promise.all(runs.map(({ id: runId }) => command(services, 'runs.snapshot', { runId })));
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

const peakOf = (summary: StageSummary | null) => (summary && 'peakMemoryBytes' in summary ? (summary.peakMemoryBytes ?? 0) : 0);
const ratio = (predicted: number, measured: number) => `${(predicted / measured).toFixed(2)}×`;

async function measure(title: string, spec: StudySpec): Promise<void> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'roundoff-measure-'));
  const services = createServices({
    host: 'cli',
    version: '0',
    resourcesDir,
    workerEntry: path.join(root, 'src-main/worker/index.ts'),
    appDataDir: dir,
  });
  try {
    await command(services, 'project.create', { path: path.join(dir, 'p.roundoff') });
    const trial = await command(services, 'studies.try', { spec });
    const snapshots = await runToEnd(services, spec);
    console.log(`\n${title}: tried for ${(trial.triedMs / 1000).toFixed(0)} s`);
    let totalMs = 0;
    for (const { run, stages } of snapshots) {
      const row = trial.rows.find(({ name }) => name === run.name)!;
      const elapsedMs = run.finishedAt! - run.startedAt!;
      totalMs += elapsedMs;
      console.log(
        `${run.name} (${run.status}): predicted ${(row.elapsedMs / 1000).toFixed(1)} s, took ${(elapsedMs / 1000).toFixed(1)} s (${ratio(row.elapsedMs, elapsedMs)})`,
      );
      for (const predicted of row.stages) {
        const stage = stages[predicted.stage]!;
        const peak = peakOf(stage.summary);
        console.log(
          `  ${stage.title}: ${(predicted.elapsedMs / 1000).toFixed(1)} s, ${(stage.elapsedMs! / 1000).toFixed(1)} s (${ratio(predicted.elapsedMs, stage.elapsedMs!)}); ` +
            `${Math.round(predicted.peakMemoryBytes / 2 ** 20)} MiB, ${Math.round(peak / 2 ** 20)} MiB (${ratio(predicted.peakMemoryBytes, peak)}); ${predicted.basis}`,
        );
      }
    }
    const peak = Math.max(...snapshots.flatMap(({ stages }) => stages.map(({ summary }) => peakOf(summary))));
    console.log(
      `Study: predicted ${(trial.elapsedMs / 1000).toFixed(1)} s, took ${(totalMs / 1000).toFixed(1)} s (${ratio(trial.elapsedMs, totalMs)}); memory ${ratio(trial.peakMemoryBytes, peak)}`,
    );
  } finally {
    await services.close();
    await rm(dir, { recursive: true, force: true });
  }
}

if (which !== 'large') await measure('Abacus', study('sample:abacus', { problems: null, maxNewTokens: 256, seeds: [42, 43, 44] }));
if (which !== 'abacus')
  await measure('Random Qwen3-0.6B shape', study(await largeModel(), { problems: 26, maxNewTokens: 48, seeds: [42] }));
