/** One small study of every kind of stage on the sample model, run on a backend of choice: what two backends must agree on. */
import path from 'node:path';
import { type StudySpec, studySpecSchema } from '#contract/recipe.ts';
import type { RunRecord, RunSnapshot } from '#contract/records.ts';
import { parseScheme } from '#contract/scheme.ts';
import type { BackendName } from '#contract/worker.ts';
import { Workbench } from './study-run.ts';

const calibration = { path: 'sample:calibration/abacus.jsonl', samples: 8, sequenceLength: 64, seed: 0 };
const data = { path: 'sample:training/abacus.jsonl', limit: 64, maxTokens: 128 };
const training = { type: 'train', data, steps: 4, batchSize: 4, checkpointEvery: 2 };
const quantize = (method: string, scheme: string, options: object = {}) => ({
  type: 'quantize',
  method,
  scheme: parseScheme(scheme),
  ...options,
});

/** By name; all of the paths through the engine that a backend has kernels for. */
export const backendVariants: Record<string, object[]> = {
  'RTN W4': [quantize('rtn', 'W4')],
  'GPTQ W3G32': [quantize('gptq', 'W3G32', { calibration })],
  'AWQ W4G32': [quantize('awq', 'W4G32', { calibration })],
  NF4: [quantize('nf4', 'NF4')],
  INT8: [quantize('int8', 'INT8')],
  'QuaRot W4A4KV4': [quantize('quarot', 'W4A4KV4', { calibration })],
  'FlatQuant W4A4KV4': [quantize('flatquant', 'W4A4KV4', { calibration, options: { epochs: 1 } })],
  SFT: [{ ...training, objective: { kind: 'sft' }, trains: { kind: 'weights' }, optimizer: { learningRate: 1e-4, warmupSteps: 1 } }],
  'W3G32 KD QAT': [
    quantize('rtn', 'W3G32'),
    { ...training, objective: { kind: 'kd' }, trains: { kind: 'quantized' }, optimizer: { learningRate: 3e-4, warmupSteps: 1 } },
  ],
  'NF4 QLoRA': [
    quantize('nf4', 'NF4'),
    { ...training, objective: { kind: 'sft' }, trains: { kind: 'lora' }, optimizer: { learningRate: 1e-3, warmupSteps: 1 } },
  ],
  GRPO: [
    {
      ...training,
      steps: 2,
      // Hot enough that completions of a group differ in reward.
      objective: { kind: 'rl', promptsPerStep: 2, groupSize: 4, maxNewTokens: 64, updatesPerRollout: 2, temperature: 1.7 },
      trains: { kind: 'weights' },
      optimizer: { learningRate: 1e-4, warmupSteps: 1 },
    },
  ],
};

export function backendStudy(backend: BackendName, names: readonly string[] = Object.keys(backendVariants)): StudySpec {
  return studySpecSchema.parse({
    name: 'Every kind of stage',
    models: ['sample:abacus'],
    variants: names.map((name) => ({ name, stages: backendVariants[name] })),
    benchmarks: [{ name: 'sums', path: 'sample:benchmarks/abacus-sums.jsonl' }],
    protocol: {
      ...{ temperature: 0, topP: 1, topK: 0, maxNewTokens: 96, seeds: [1], systemPrompt: null },
      ...{ promptTemplate: '{question}', verifier: 'maths-1', problemsPerBenchmark: 16 },
    },
    backend,
  });
}

/** What a run left behind, as far as backends must agree on it. */
export interface BackendOutcome {
  run: RunRecord;
  /** Folder of the last checkpoint, of runs that make one. */
  checkpoint: string | null;
  /** Loss of each training step. */
  losses: number[];
  /** By problem. */
  completions: Map<string, string>;
  correct: number;
}

/** Runs the study in a project of its own; outcomes by run name. */
export async function runOnBackend(folder: string, spec: StudySpec): Promise<Map<string, BackendOutcome>> {
  const bench = new Workbench(path.join(folder, 'home'));
  try {
    await bench.command('project.create', { path: path.join(folder, `${spec.backend}.roundoff`) });
    const study = await bench.command('studies.create', { spec });
    await bench.settled();
    const project = (await bench.command('project.current', {}))!;
    const outcomes = new Map<string, BackendOutcome>();
    for (const run of await bench.command('runs.list', { studyId: study.id })) {
      const snapshot = await bench.command('runs.snapshot', { runId: run.id });
      const { rows: samples } = await bench.command('samples.query', { studyId: study.id, runId: run.id, limit: 100 });
      const checkpoint = snapshot.artifacts.filter(({ kind }) => kind === 'checkpoint').at(-1);
      outcomes.set(run.name, {
        run,
        checkpoint: checkpoint ? path.join(project.artifactsDir, checkpoint.path) : null,
        losses: lossesOf(snapshot),
        completions: new Map(samples.map(({ problemId, completion }) => [problemId, completion])),
        correct: samples.filter(({ verdict }) => verdict === 'correct').length,
      });
    }
    return outcomes;
  } finally {
    await bench.services.close();
  }
}

function lossesOf({ metrics }: RunSnapshot): number[] {
  return metrics.filter(({ name }) => name === 'loss').flatMap(({ points }) => points.map(({ value }) => value));
}
