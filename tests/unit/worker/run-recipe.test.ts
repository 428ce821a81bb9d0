import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Recipe, Stage } from '#contract/recipe.ts';
import { type MainToWorker, type ResumeState, type RunEvent, type RunRequest, sampleKey, type WorkerToMain } from '#contract/worker.ts';
import { ProblemList } from '../../../src-main/engine/formats/problems.ts';
import { readSafetensorsHeader } from '../../../src-main/engine/formats/safetensors-header.ts';
import { serveRun } from '../../../src-main/worker/run-recipe.ts';
import { resourcesDir } from '../../support/study-run.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { writeTinyModel } from '../../support/tiny-model.ts';

const folder = temporaryFolder('worker');
const modelDir = path.join(folder, 'tiny');
const calibration = { path: path.join(resourcesDir, 'sample/calibration/abacus.jsonl'), samples: 4, sequenceLength: 32, seed: 0 };
const gptqOptions = { blockSize: 128, dampPercent: 0.01, actOrder: false, staticGroups: false, trueSequential: true, mseSearch: true };
const quantize: Stage = {
  type: 'quantize',
  method: 'gptq',
  scheme: { bits: 3, symmetric: false, strategy: 'group', groupSize: 32 },
  calibration,
  options: gptqOptions,
};
const evaluate: Stage = {
  type: 'evaluate',
  benchmarks: [{ name: 'sums', path: path.join(resourcesDir, 'sample/benchmarks/abacus-sums.jsonl') }],
  protocol: {
    temperature: 0.6,
    topP: 0.95,
    topK: 0,
    maxNewTokens: 24,
    seeds: [1, 2],
    systemPrompt: null,
    promptTemplate: '{question}',
    verifier: 'maths-1',
    problemsPerBenchmark: 6,
  },
};
const fresh: ResumeState = { lastSeq: 0, finishedStages: [], checkpoints: [], recordedSamples: [], recordedWindows: [] };
let count = 0;

beforeAll(() => writeTinyModel(modelDir));

interface Served {
  events: RunEvent[];
  /** Sends a message to the worker. */
  tell(message: MainToWorker): void;
  ended: Promise<void>;
}

/** Runs a recipe through an in-memory port. `onEvent` may answer with further messages. */
function serve(stages: Stage[], change: Partial<RunRequest> = {}, onEvent?: (event: RunEvent, tell: Served['tell']) => void): Served {
  const events: RunEvent[] = [];
  const listeners: ((message: MainToWorker) => void)[] = [];
  const tell = (message: MainToWorker) => {
    for (const listener of listeners) listener(message);
  };
  const recipe: Recipe = { name: 'r', description: '', stages };
  const outputDir = path.join(folder, `out${++count}`);
  const request: RunRequest = {
    runId: 'r1',
    recipe,
    modelDir,
    outputDir,
    seed: 42,
    backend: 'wasm',
    expectedTokens: new Map(),
    resume: fresh,
    ...change,
  };
  const post = (message: WorkerToMain) => {
    if (message.type === 'ready') queueMicrotask(() => tell({ type: 'run', request }));
    if (message.type !== 'events') return;
    events.push(...message.events);
    for (const event of message.events) onEvent?.(event, tell);
  };
  return { events, tell, ended: serveRun({ post, on: (listener) => listeners.push(listener) }) };
}

const typesOf = (events: RunEvent[]) => events.map((event) => event.type);
const samplesOf = (events: RunEvent[]) => events.flatMap((event) => (event.type === 'sample' ? [event.sample] : []));
const sorted = (events: RunEvent[]) =>
  samplesOf(events).sort((a, b) => (sampleKey(a.benchmark, a.seed, a.problemId) < sampleKey(b.benchmark, b.seed, b.problemId) ? -1 : 1));

describe('serveRun', () => {
  it('reports a run from start to finish', async () => {
    const { events, ended } = serve([quantize, { type: 'export', format: 'dequantized' }, evaluate]);
    await ended;
    expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index + 1));
    const order = typesOf(events).filter((type) => type.startsWith('stage') || type === 'started' || type === 'finished');
    expect(order).toEqual(['started', ...Array.from({ length: 3 }, () => ['stage-started', 'stage-finished']).flat(), 'finished']);
    expect(samplesOf(events)).toHaveLength(12);
    const summaries = events.flatMap((event) => (event.type === 'stage-finished' ? [event.summary] : []));
    expect(summaries[0]).toMatchObject({ type: 'quantize', method: 'gptq', scheme: 'W3G32' });
    expect(summaries[0]!.type === 'quantize' && summaries[0]!.layers).toHaveLength(14);
    expect(summaries[1]).toMatchObject({ type: 'export', format: 'dequantized', loadsIn: ['transformers', 'vLLM', 'SGLang'] });
    const smoke = summaries[1]!.type === 'export' ? summaries[1]!.smokeLoad! : null;
    expect(smoke!.tokens).toBe(32);
    expect(smoke!.largestDifference).toBeLessThanOrEqual(smoke!.allowedDifference);
    const logged = events.flatMap((event) => (event.type === 'log' ? [event.message] : []));
    expect(logged.filter((message) => /^dequantized loads in transformers.*read back: logits differ/.test(message))).toHaveLength(1);
    expect(summaries[2]).toMatchObject({ type: 'evaluate', samples: 12 });
    expect(events.at(-1)!.type).toBe('finished');
  });

  it('exports for other runtimes, and says when only Roundoff computes a scheme', async () => {
    const symmetric: Stage = { ...quantize, method: 'gptq', scheme: { ...quantize.scheme, bits: 4, symmetric: true } };
    const first = serve([symmetric, { type: 'export', format: 'gptq' }, { type: 'export', format: 'awq' }]);
    await first.ended;
    const exports = first.events.flatMap((event) =>
      event.type === 'stage-finished' && event.summary.type === 'export' ? [event.summary] : [],
    );
    expect(exports.map(({ format, loadsIn }) => [format, loadsIn!.includes('vLLM')])).toEqual([
      ['gptq', true],
      ['awq', true],
    ]);
    const online: Stage = { ...symmetric, scheme: { ...symmetric.scheme, activationBits: 8 } };
    const second = serve([online, { type: 'export', format: 'roundoff' }]);
    await second.ended;
    const summary = second.events.flatMap((event) => (event.type === 'stage-finished' ? [event.summary] : []))[1];
    expect(summary).toMatchObject({ type: 'export', loadsIn: [] });
    expect(second.events.some((event) => event.type === 'log' && event.message.startsWith('Fake-quantized only:'))).toBe(true);
    const third = serve([online, { type: 'export', format: 'gptq' }]);
    await third.ended;
    expect(third.events.at(-1)).toMatchObject({ type: 'failed', error: { code: 'unsupported' } });
  });

  it('frees every tensor', async () => {
    await serve([quantize, evaluate]).ended;
    const before = tf.memory().numTensors;
    await serve([quantize, evaluate]).ended;
    expect(tf.memory().numTensors).toBe(before);
  });

  it('goes on from the checkpoint and makes only the samples that are missing', async () => {
    const whole = serve([quantize, evaluate]);
    await whole.ended;
    const outputDir = path.join(folder, `out${count}`);
    const kept = samplesOf(whole.events).slice(0, 5);
    mkdirSync(path.join(outputDir, '.stage-0.abc.partial'));
    const resume = {
      lastSeq: 40,
      finishedStages: [0],
      checkpoints: [{ stage: 0, dir: path.join(outputDir, 'stage-0') }],
      recordedWindows: [],
      recordedSamples: kept.map(
        (sample) => [sampleKey(sample.benchmark, sample.seed, sample.problemId), sample.verdict, sample.completionTokens] as const,
      ),
    };
    const rest = serve([quantize, evaluate], { outputDir, resume });
    await rest.ended;
    expect(rest.events[0]!.seq).toBe(41);
    expect(rest.events.flatMap((event) => (event.type === 'stage-started' ? [event.stage] : []))).toEqual([1]);
    const merged = [...kept, ...samplesOf(rest.events)].sort((a, b) =>
      sampleKey(a.benchmark, a.seed, a.problemId) < sampleKey(b.benchmark, b.seed, b.problemId) ? -1 : 1,
    );
    expect(merged).toEqual(sorted(whole.events));
  });

  it('repeats a finished stage whose checkpoint is gone, saying so', async () => {
    const { events, ended } = serve([quantize], { resume: { ...fresh, lastSeq: 3, finishedStages: [0] } });
    await ended;
    expect(events.some((event) => event.type === 'log' && event.level === 'warning' && event.message.includes('GPTQ W3G32'))).toBe(true);
    expect(typesOf(events)).toContain('stage-finished');
  });

  it('ends between steps when it is cancelled or stopped', async () => {
    for (const [message, ending] of [
      ['cancel', 'cancelled'],
      ['stop', 'stopped'],
    ] as const) {
      const { events, ended } = serve([quantize, evaluate], {}, (event, tell) => {
        if (event.type === 'stage-started') tell({ type: message });
      });
      await ended;
      expect(events.at(-1)!.type).toBe(ending);
      expect(typesOf(events)).not.toContain('finished');
    }
  });

  it('leaves without a word when it is ended before its request', async () => {
    const listeners: ((message: MainToWorker) => void)[] = [];
    const posted: WorkerToMain[] = [];
    const ended = serveRun({ post: (message) => posted.push(message), on: (listener) => listeners.push(listener) });
    for (const listener of listeners) listener({ type: 'cancel' });
    await ended;
    expect(posted.map((message) => message.type)).toEqual(['ready']);
  });

  it('finds weights that are not numbers before it quantizes anything', async () => {
    const damaged = path.join(folder, 'damaged');
    await writeTinyModel(damaged);
    const file = path.join(damaged, 'model.safetensors');
    const bytes = readFileSync(file);
    const { tensors } = await readSafetensorsHeader(file, new ProblemList());
    const { offset } = tensors.find(({ name }) => name === 'model.layers.1.mlp.up_proj.weight')!;
    bytes.writeFloatLE(Number.NaN, offset + 4 * 33);
    writeFileSync(file, bytes);
    const { events, ended } = serve([quantize], { modelDir: damaged });
    await ended;
    const last = events.at(-1)!;
    expect(last).toMatchObject({ type: 'failed', error: { code: 'model-invalid' } });
    expect(last.type === 'failed' && last.error.message).toContain('up_proj.weight: it holds NaN at row 1, column 1');
    expect(typesOf(events)).not.toContain('progress');
  });

  it('reports what went wrong with code, place and remedy', async () => {
    const broken = path.join(folder, 'broken');
    await writeTinyModel(broken);
    writeFileSync(path.join(broken, 'model.safetensors'), 'short');
    const { events, ended } = serve([evaluate], { modelDir: broken });
    await ended;
    const last = events.at(-1)!;
    expect(last).toMatchObject({ type: 'failed', error: { code: 'model-invalid' } });
    expect(last.type === 'failed' && last.error.message).toContain('broken');
    expect(last.type === 'failed' && last.error.hint.length).toBeGreaterThan(5);
  });
});
