/** Training as a stage of a run, through an in-memory port: events, files, and runs that are cut short and go on. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Recipe, Stage } from '#contract/recipe.ts';
import type { MainToWorker, RunEvent, RunRequest, TrainSummary, WorkerToMain } from '#contract/worker.ts';
import { serveRun } from '../../../src-main/worker/run-recipe.ts';
import { resourcesDir } from '../../support/study-run.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { writeTinyModel } from '../../support/tiny-model.ts';
import { trainStage, writeTrainingRows } from '../../support/training.ts';

const folder = temporaryFolder('train-stage');
const modelDir = path.join(folder, 'tiny');
const data = path.join(folder, 'rows.jsonl');
const evaluate: Stage = {
  type: 'evaluate',
  benchmarks: [{ name: 'sums', path: path.join(resourcesDir, 'sample/benchmarks/abacus-sums.jsonl') }],
  protocol: {
    ...{ temperature: 0, topP: 1, topK: 0, maxNewTokens: 16, seeds: [1], systemPrompt: null },
    ...{ promptTemplate: '{question}', verifier: 'maths-1', problemsPerBenchmark: 4 },
  },
};
const watched = trainStage(data, { evaluation: { every: 4, problems: 3 } });
let count = 0;

beforeAll(async () => {
  await writeTinyModel(modelDir);
  writeTrainingRows(data);
});

type Tell = (message: MainToWorker) => void;

async function serve(stages: Stage[], change: Partial<RunRequest> = {}, onEvent?: (event: RunEvent, tell: Tell) => void) {
  const events: RunEvent[] = [];
  const listeners: Tell[] = [];
  const tell: Tell = (message) => {
    for (const listener of listeners) listener(message);
  };
  const recipe: Recipe = { name: 'r', description: '', stages };
  const outputDir = change.outputDir ?? path.join(folder, `out${++count}`);
  const resume = { lastSeq: 0, finishedStages: [], checkpoints: [], recordedSamples: [], recordedWindows: [] };
  const request: RunRequest = {
    runId: 'r1',
    recipe,
    modelDir,
    outputDir,
    seed: 42,
    backend: 'wasm',
    expectedTokens: new Map(),
    resume,
    ...change,
  };
  const post = (message: WorkerToMain) => {
    if (message.type === 'ready') queueMicrotask(() => tell({ type: 'run', request }));
    if (message.type !== 'events') return;
    events.push(...message.events);
    for (const event of message.events) onEvent?.(event, tell);
  };
  await serveRun({ post, on: (listener) => listeners.push(listener) });
  return { events, outputDir };
}

const weightsOf = (outputDir: string, stage = 'stage-0') => readFileSync(path.join(outputDir, stage, 'model.safetensors'));
const metricsOf = (events: RunEvent[], name: string) =>
  events.flatMap((event) =>
    event.type === 'metric' && event.stage === 0 && event.name === name ? [[event.step, event.value] as const] : [],
  );
const summaryOf = (events: RunEvent[]) =>
  events.flatMap((event) => (event.type === 'stage-finished' && event.summary.type === 'train' ? [event.summary] : []))[0] as TrainSummary;

describe('a train stage', () => {
  it('reports every step, leaves a model that the next stage evaluates, and says what it learnt', async () => {
    const { events, outputDir } = await serve([watched, evaluate]);
    expect(events.at(-1)).toMatchObject({ type: 'finished' });
    for (const name of ['loss', 'learning-rate', 'gradient-norm', 'tokens-per-second', 'memory-bytes'])
      expect(metricsOf(events, name).map(([step]) => step)).toEqual(Array.from({ length: 12 }, (_, index) => index + 1));
    expect(metricsOf(events, 'accuracy').map(([step]) => step)).toEqual([4, 8, 12]);
    const progress = events.flatMap((event) => (event.type === 'progress' && event.stage === 0 ? [event] : [])).at(-1)!;
    expect(progress).toMatchObject({ unit: 'steps', total: 12, detail: expect.stringMatching(/^loss [\d.]+, [\d,]+ tokens\/s$/) });

    const losses = metricsOf(events, 'loss').map(([, value]) => value);
    const summary = summaryOf(events);
    expect(summary).toMatchObject({
      objective: 'SFT',
      trains: '',
      steps: 12,
      examples: 42,
      tooLong: 6,
      domain: 'rows',
      bitsPerWeight: null,
    });
    expect(summary.last.loss).toBeCloseTo((losses[10]! + losses[11]!) / 2, 6);
    expect(losses.at(-1)!).toBeLessThan(losses[0]!);
    expect(summary.best!.step).toBe(4);
    const samples = events.filter((event) => event.type === 'sample');
    expect(samples).toHaveLength(4);

    const artifacts = events.flatMap((event) => (event.type === 'artifact' ? [[event.artifact.kind, event.artifact.path]] : []));
    expect(artifacts).toEqual([
      ['checkpoint', 'stage-0'],
      ['checkpoint', 'stage-0-best'],
      ['training-report', 'stage-0-report.json'],
    ]);
    expect(JSON.parse(readFileSync(path.join(outputDir, 'stage-0-report.json'), 'utf8'))).toEqual(summary);
    expect(existsSync(path.join(outputDir, 'stage-0.work'))).toBe(false);
    expect(weightsOf(outputDir).equals(weightsOf(outputDir, 'stage-0-best'))).toBe(false);
    expect(weightsOf(outputDir).equals(readFileSync(path.join(modelDir, 'model.safetensors')))).toBe(false);
  });

  it('keeps the weights of the best step: those of a training that ends there', async () => {
    // A constant rate does not know how many steps are to come.
    const constant = { ...watched, optimizer: { ...watched.optimizer, schedule: 'constant' as const } };
    const { outputDir } = await serve([constant, evaluate]);
    const shorter = await serve([{ ...constant, steps: 4, evaluation: null }, evaluate]);
    expect(weightsOf(outputDir, 'stage-0-best').equals(weightsOf(shorter.outputDir))).toBe(true);
  });

  it('that is cancelled goes on after its last step and ends with the same bytes and figures', async () => {
    const whole = await serve([watched, evaluate]);
    for (const [message, at] of [
      ['cancel', 5],
      ['stop', 8],
    ] as const) {
      const cut = await serve([watched, evaluate], {}, (event, tell) => {
        if (event.type === 'metric' && event.name === 'loss' && event.step === at) tell({ type: message });
      });
      expect(cut.events.at(-1)!.type).toBe(message === 'cancel' ? 'cancelled' : 'stopped');
      expect(existsSync(path.join(cut.outputDir, 'stage-0'))).toBe(false);
      mkdirSync(path.join(cut.outputDir, '.stage-0.abc.partial'));
      const rest = await serve([watched, evaluate], { outputDir: cut.outputDir });
      expect(existsSync(path.join(cut.outputDir, '.stage-0.abc.partial'))).toBe(false);
      const first = metricsOf(rest.events, 'loss')[0]![0];
      expect(first).toBeGreaterThan(1);
      expect(rest.events.some((event) => event.type === 'log' && event.message === `Going on after step ${first - 1} of 12.`)).toBe(true);
      expect(weightsOf(rest.outputDir).equals(weightsOf(whole.outputDir))).toBe(true);
      expect(weightsOf(rest.outputDir, 'stage-0-best').equals(weightsOf(whole.outputDir, 'stage-0-best'))).toBe(true);
      const { peakMemoryBytes: _, ...expected } = summaryOf(whole.events);
      expect(summaryOf(rest.events)).toMatchObject(expected);
      const losses = new Map([...metricsOf(cut.events, 'loss'), ...metricsOf(rest.events, 'loss')]);
      expect([...losses]).toEqual(metricsOf(whole.events, 'loss'));
    }
  });

  it('that was finished is not repeated', async () => {
    const { outputDir } = await serve([trainStage(data), evaluate]);
    const checkpoints = [{ stage: 0, dir: path.join(outputDir, 'stage-0') }];
    const resume = { lastSeq: 99, finishedStages: [0], checkpoints, recordedSamples: [], recordedWindows: [] };
    const again = await serve([trainStage(data), evaluate], { outputDir, resume });
    expect(again.events.flatMap((event) => (event.type === 'stage-started' ? [event.stage] : []))).toEqual([1]);
  });

  it('is not continued with other settings, and shows the difference', async () => {
    const cut = await serve([watched, evaluate], {}, (event, tell) => {
      if (event.type === 'metric' && event.name === 'loss' && event.step === 5) tell({ type: 'cancel' });
    });
    const other = { ...watched, optimizer: { ...watched.optimizer, learningRate: 2e-3 } };
    const { events } = await serve([other, evaluate], { outputDir: cut.outputDir });
    expect(events.at(-1)).toMatchObject({ type: 'failed', error: { code: 'bad-input' } });
    expect(JSON.stringify(events.at(-1))).toContain('stage.optimizer.learningRate was 0.001, now 0.002');
  });

  it('frees every tensor', async () => {
    await serve([watched, evaluate]);
    const before = tf.memory().numTensors;
    await serve([watched, evaluate]);
    expect(tf.memory().numTensors).toBe(before);
  });
});
