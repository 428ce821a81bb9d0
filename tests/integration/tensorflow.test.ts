/**
 * A study with quantization, training and evaluation on TensorFlow's CPU build, by real workers, against the same study on wasm. The two add up
 * in different orders and round exponentials differently, so that values agree within the tolerances below and a rare token differs.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { StudySpec } from '#contract/recipe.ts';
import type { BackendName } from '#contract/worker.ts';
import { listBackends } from '../../src-main/engine/backends/select.ts';
import { parseStudySpec } from '../../src-preload/contract/recipe.ts';
import { resourcesDir, tinyStudy, Workbench } from '../support/study-run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { trainStage, writeTrainingRows } from '../support/training.ts';

const status = (await listBackends()).find(({ name }) => name === 'tensorflow')!;
if (!status.available) console.warn(`skipped: ${status.reason}`);

/** Relative, at every step. */
const lossTolerance = 1e-3;
/** Of greedy completions, the share that is the same to the last character. */
const equalCompletions = 0.95;
/**
 * GPTQ moves every rounding error on to the columns that follow: one code that falls the other way changes the ones after it, and what is
 * alike is how much error is left, relative to round-to-nearest, on average over the linears.
 */
const errorTolerance = 0.02;
const folder = temporaryFolder('tensorflow-study');

interface Outcome {
  losses: Map<string, number[]>;
  completions: Map<string, string>;
  /** Mean output error of the linears, by run. */
  errors: Map<string, number>;
}

function spec(backend: BackendName): StudySpec {
  const model = path.join(resourcesDir, 'sample/abacus-small');
  const rows = writeTrainingRows(path.join(folder, 'rows.jsonl'));
  const tiny = tinyStudy(model, 8);
  return parseStudySpec(
    {
      ...tiny,
      backend,
      variants: [
        ...tiny.variants,
        { name: 'SFT', stages: [trainStage(rows, { steps: 8 })] },
        {
          name: 'KD on W2G32',
          stages: [
            { type: 'quantize', method: 'rtn', scheme: { bits: 2, symmetric: false, strategy: 'group', groupSize: 32 } },
            trainStage(rows, { objective: { kind: 'kd' }, trains: { kind: 'quantized' }, steps: 6 }),
          ],
        },
        {
          name: 'GRPO',
          stages: [
            trainStage(rows, {
              objective: { kind: 'rl', promptsPerStep: 3, groupSize: 4, maxNewTokens: 48 },
              optimizer: { learningRate: 1e-5 },
              steps: 2,
            }),
          ],
        },
      ],
      protocol: { ...tiny.protocol, temperature: 0, topP: 1, seeds: [1], maxNewTokens: 40 },
    },
    backend,
  );
}

async function run(backend: BackendName): Promise<Outcome> {
  const bench = new Workbench(path.join(folder, 'home'));
  await bench.command('project.create', { path: path.join(folder, `${backend}.roundoff`) });
  const { artifactsDir } = (await bench.command('project.current', {}))!;
  const { id: studyId } = await bench.command('studies.create', { spec: spec(backend) });
  await bench.settled();
  const outcome: Outcome = { losses: new Map(), completions: new Map(), errors: new Map() };
  for (const { id: runId, name, ...record } of await bench.command('runs.list', { studyId })) {
    expect([name, record.status, record.backend, record.error]).toEqual([name, 'finished', backend, null]);
    const { metrics, artifacts } = await bench.command('runs.snapshot', { runId });
    const loss = metrics.find((series) => series.name === 'loss');
    if (loss)
      outcome.losses.set(
        name,
        loss.points.map(({ value }) => value),
      );
    const report = artifacts.find(({ kind }) => kind === 'quantization-report');
    if (report) outcome.errors.set(name, meanError(path.join(artifactsDir, report.path)));
    const { rows } = await bench.command('samples.query', { studyId, runId, limit: 200 });
    for (const row of rows) outcome.completions.set(`${name} ${row.benchmark} ${row.problemId}`, row.completion);
  }
  await bench.services.close();
  return outcome;
}

function meanError(reportFile: string): number {
  const { layers } = JSON.parse(readFileSync(reportFile, 'utf8')) as { layers: { outputErrorVsRtn: number }[] };
  return layers.reduce((sum, layer) => sum + layer.outputErrorVsRtn, 0) / layers.length;
}

describe.skipIf(!status.available)('a study on tensorflow', () => {
  let tensorflow: Outcome;
  let wasm: Outcome;
  beforeAll(async () => {
    wasm = await run('wasm');
    tensorflow = await run('tensorflow');
  }, 600_000);

  it(`learns with losses within ${lossTolerance} of wasm's`, () => {
    expect([...tensorflow.losses.keys()]).toEqual(['SFT', 'KD on W2G32', 'GRPO']);
    for (const name of ['SFT', 'KD on W2G32']) {
      const expected = wasm.losses.get(name)!;
      const actual = tensorflow.losses.get(name)!;
      const worst = Math.max(...expected.map((value, step) => Math.abs(actual[step]! - value) / Math.abs(value)));
      console.info(`${name}: losses of ${expected.length} steps within ${worst.toExponential(1)} of wasm`);
      expect(actual).toHaveLength(expected.length);
      expect(worst).toBeLessThan(lossTolerance);
    }
  });

  it(`leaves GPTQ's errors within ${errorTolerance} of wasm's`, () => {
    const [actual, expected] = [tensorflow.errors.get('GPTQ W2G32')!, wasm.errors.get('GPTQ W2G32')!];
    console.info(`GPTQ's output error, relative to RTN's: ${actual.toFixed(4)}, on wasm ${expected.toFixed(4)}`);
    expect(Math.abs(actual - expected)).toBeLessThan(errorTolerance);
  });

  it('learns from completions of its own', () => {
    for (const value of tensorflow.losses.get('GRPO')!) expect(Number.isFinite(value)).toBe(true);
  });

  it(`gives ${100 * equalCompletions} % of wasm's greedy completions to the letter`, () => {
    expect([...tensorflow.completions.keys()].sort()).toEqual([...wasm.completions.keys()].sort());
    const keys = [...wasm.completions.keys()].filter((key) => !key.startsWith('GPTQ'));
    const equal = keys.filter((key) => tensorflow.completions.get(key) === wasm.completions.get(key)).length;
    console.info(`${equal} of ${keys.length} greedy completions are the same`);
    expect(equal / keys.length).toBeGreaterThanOrEqual(equalCompletions);
  });
});
