/** What is scored by likelihood within an evaluation: samples and windows, beside generated benchmarks, and after an interruption. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import { type EvaluationOptions, evaluateModel, protocolHash } from '../../../../src-main/engine/benchmarks/index.ts';
import { readModelConfig } from '../../../../src-main/engine/model/config.ts';
import { createRandomModel } from '../../../../src-main/engine/model/init.ts';
import type { LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import { loadTokenizer, type ModelTokenizer } from '../../../../src-main/engine/model/tokenizer.ts';
import { completeProtocol } from '../../../../src-preload/contract/prompt-templates.ts';
import type { EvaluationProtocol } from '../../../../src-preload/contract/protocol.ts';
import { type SampleResult, sampleKey, type TextWindow, windowKey } from '../../../../src-preload/contract/worker.ts';
import { testBackend } from '../../../support/test-backend.ts';

const sampleModel = join(import.meta.dirname, '../../../../resources/sample/abacus');
const folder = mkdtempSync(join(tmpdir(), 'roundoff-scored-'));
let model: LanguageModel;
let tokenizer: ModelTokenizer;

const endings = ['falls', 'sings in the night', 'is old', 'walks on'];
beforeAll(async () => {
  await selectBackend(testBackend);
  const config = { ...(await readModelConfig(sampleModel)), layers: 1 };
  model = createRandomModel(config, 5, { deviation: 0.3 });
  tokenizer = await loadTokenizer(sampleModel, { vocabSize: config.vocabSize });
  const write = (name: string, rows: object[]) => writeFileSync(join(folder, name), rows.map((row) => JSON.stringify(row)).join('\n'));
  const rows = Array.from({ length: 60 }, (_, index) => ({ id: index, ctx: `The dog of house ${index}`, endings, label: index % 4 }));
  write('hella.jsonl', rows);
  write('sums.jsonl', [{ id: 's', problem: '1+1=?', answer: '2' }]);
  writeFileSync(join(folder, 'story.txt'), 'The river is green and the night is old.\n'.repeat(12));
});
afterAll(() => {
  model.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const protocol: EvaluationProtocol = {
  ...{ temperature: 1, topP: 1, topK: 0, maxNewTokens: 8, seeds: [42, 43], systemPrompt: null, promptTemplate: '{question}' },
  ...{ verifier: 'maths-1', problemsPerBenchmark: 50, perplexity: { window: 64, stride: 48 } },
};
const references = {
  hella: { name: 'hella', path: join(folder, 'hella.jsonl') },
  sums: { name: 'sums', path: join(folder, 'sums.jsonl') },
  story: { name: 'story', path: join(folder, 'story.txt') },
};

async function evaluate(
  names: (keyof typeof references)[],
  options: Partial<EvaluationOptions> = {},
  changed: Partial<EvaluationProtocol> = {},
) {
  const samples = new Map<string, SampleResult>();
  const windows = new Map<string, TextWindow>();
  const summary = await evaluateModel(
    { model, tokenizer, protocol: { ...protocol, ...changed }, benchmarks: names.map((name) => references[name]) },
    {
      onSample: (sample) => samples.set(sampleKey(sample.benchmark, sample.seed, sample.problemId), sample),
      onWindow: (window) => windows.set(windowKey(window.benchmark, window.window), window),
      ...options,
    },
  );
  return { samples, windows, summary };
}

/** Log-probabilities in float64 from the whole logits of each sequence. */
async function plainScores(texts: readonly { context: string; ending: string }[]): Promise<number[]> {
  const scores: number[] = [];
  for (const { context, ending } of texts) {
    const ids = tokenizer.encode(`${context}${ending}`);
    const from = tokenizer.encode(context).length;
    const logits = tf.tidy(() => tf.squeeze(model.logits(model.forward(tf.tensor2d([ids], undefined, 'int32'))), [0]) as tf.Tensor2D);
    const rows = await logits.array();
    logits.dispose();
    let sum = 0;
    for (let at = from; at < ids.length; at++) {
      const row = rows[at - 1]!;
      const largest = Math.max(...row);
      sum += row[ids[at]!]! - largest - Math.log(row.reduce((total, value) => total + Math.exp(value - largest), 0));
    }
    scores.push(sum);
  }
  return scores;
}

describe('likelihood within an evaluation', () => {
  it('takes the ending that is likeliest per character, once per problem', async () => {
    const { samples, summary } = await evaluate(['hella']);
    expect(samples.size).toBe(50);
    expect(summary.samples).toBe(50);
    for (const number of [0, 7, 49]) {
      const scores = await plainScores(endings.map((ending) => ({ context: `The dog of house ${number}`, ending: ` ${ending}` })));
      const normalised = scores.map((score, index) => score / endings[index]!.length);
      const best = normalised.indexOf(Math.max(...normalised));
      const sample = samples.get(sampleKey('hella', 42, String(number)))!;
      expect(sample.extracted).toBe('ABCD'[best]);
      expect(sample.verdict).toBe(number % 4 === best ? 'correct' : 'incorrect');
      const recorded = sample.completion.split('\n').map((line) => Number(/(-[\d.]+) nats/.exec(line)![1]));
      for (const [index, score] of scores.entries()) expect(recorded[index]).toBeCloseTo(score, 2);
    }
  });

  it('adds to what is generated, and hashes the windows with the protocol', async () => {
    const { samples, windows, summary } = await evaluate(['sums', 'hella', 'story']);
    expect([...samples.values()].filter(({ benchmark }) => benchmark === 'sums')).toHaveLength(2);
    expect(summary.samples).toBe(52);
    const ids = tokenizer.encode('The river is green and the night is old.\n'.repeat(12));
    const scored = [...windows.values()].reduce((sum, { tokens }) => sum + tokens, 0);
    expect(scored).toBe(ids.length - 1);
    expect(summary.protocolHash).toBe(protocolHash(completeProtocol(protocol, ['maths', 'likelihood', 'text'])));
    expect(summary.protocolHash).not.toBe(protocolHash({ ...protocol, perplexity: { window: 64, stride: 32 } }));
  });

  it('scores after an interruption what an undisturbed evaluation does, to the last bit, and nothing again', async () => {
    const whole = await evaluate(['hella', 'story']);
    const kept = [...whole.samples].filter((_, index) => index % 7 !== 3);
    const recordedSamples = kept.map(([key, { verdict, completionTokens }]) => [key, verdict, completionTokens] as const);
    const recordedWindows = [...whole.windows.keys()].filter((_, index) => index !== 1);
    const rest = await evaluate(['hella', 'story'], { recordedSamples, recordedWindows });
    expect(rest.samples.size).toBe(whole.samples.size - kept.length);
    expect(rest.windows.size).toBe(1);
    for (const [key, sample] of rest.samples) expect(sample).toEqual(whole.samples.get(key));
    for (const [key, window] of rest.windows) expect(window).toEqual(whole.windows.get(key));
    const nothing = await evaluate(['hella', 'story'], {
      recordedSamples: [...whole.samples].map(([key, { verdict, completionTokens }]) => [key, verdict, completionTokens] as const),
      recordedWindows: whole.windows.keys(),
    });
    expect([nothing.samples.size, nothing.windows.size, nothing.summary.samples]).toEqual([0, 0, 50]);
  });

  it('stops at a wanted precision, wherever it was resumed', async () => {
    const changed = { precision: { points: 25, lookEvery: 2, leastProblems: 10 } };
    const whole = await evaluate(['hella'], {}, changed);
    const [stop] = whole.summary.stopped!;
    expect(stop).toMatchObject({ benchmark: 'hella', of: 50 });
    expect(stop!.problems).toBeLessThan(50);
    expect([whole.samples.size, whole.summary.samples]).toEqual([stop!.problems, stop!.problems]);
    const all = await evaluate(['hella']);
    const recordedSamples = [...all.samples].map(([key, { verdict, completionTokens }]) => [key, verdict, completionTokens] as const);
    let surplus: string[] = [];
    const onStop = (_stop: object, ids: string[]) => {
      surplus = ids;
    };
    const again = await evaluate(['hella'], { recordedSamples, onStop }, changed);
    expect(again.samples.size).toBe(0);
    expect(again.summary.stopped).toEqual(whole.summary.stopped);
    const counted = [...all.samples.values()].filter(({ problemId }) => !surplus.includes(problemId));
    expect(counted.map(({ problemId }) => problemId).sort()).toEqual([...whole.samples.values()].map(({ problemId }) => problemId).sort());
  });

  it('counts recorded problems and windows as done', async () => {
    const progress: number[][] = [];
    const left: (number | null)[] = [];
    await evaluate(['hella', 'story'], {
      onProgress: ({ done, total, remainingMs }) => {
        progress.push([done, total]);
        left.push(remainingMs);
      },
    });
    const total = progress[0]![1]!;
    expect(progress[0]).toEqual([0, total]);
    expect(progress.at(-1)).toEqual([total, total]);
    // Unknown before anything is scored, and never nothing while something is left.
    expect(left[0]).toBeNull();
    for (const ms of left.slice(1, -1)) expect(ms).toBeGreaterThan(0);
  });

  it('refuses windows longer than the context before anything is computed', async () => {
    const long = { ...protocol, perplexity: { window: 4096, stride: 4096 } };
    const failure = evaluateModel({ model, tokenizer, protocol: long, benchmarks: [references.story] }, { onSample: () => {} });
    await expect(failure).rejects.toMatchObject({
      code: 'bad-input',
      message: expect.stringMatching(/exceed the model's context of 512/) as string,
    });
  });

  it('stops on cancel', async () => {
    const controller = new AbortController();
    let seen = 0;
    const failure = evaluate(['hella'], {
      signal: controller.signal,
      onSample: () => {
        seen++;
        controller.abort();
      },
    });
    await expect(failure).rejects.toMatchObject({ code: 'cancelled' });
    expect(seen).toBeLessThan(50);
  });
});
