import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import {
  type EvaluationOptions,
  type EvaluationProgress,
  evaluateModel,
  protocolHash,
} from '../../../../src-main/engine/benchmarks/index.ts';
import { readModelConfig } from '../../../../src-main/engine/model/config.ts';
import { createRandomModel } from '../../../../src-main/engine/model/init.ts';
import type { LanguageModel } from '../../../../src-main/engine/model/language-model.ts';
import { plainActivations } from '../../../../src-main/engine/model/layer-activations.ts';
import { loadTokenizer, type ModelTokenizer } from '../../../../src-main/engine/model/tokenizer.ts';
import { getVerifier, verify } from '../../../../src-main/engine/verifiers/index.ts';
import type { EvaluationProtocol } from '../../../../src-preload/contract/protocol.ts';
import { type RecordedSample, type SampleResult, sampleKey } from '../../../../src-preload/contract/worker.ts';
import { testBackend } from '../../../support/test-backend.ts';

const sampleModel = join(import.meta.dirname, '../../../../resources/sample/abacus');
const folder = mkdtempSync(join(tmpdir(), 'roundoff-evaluate-'));
let model: LanguageModel;
let tokenizer: ModelTokenizer;

beforeAll(async () => {
  await selectBackend(testBackend);
  const config = { ...(await readModelConfig(sampleModel)), layers: 1 };
  model = createRandomModel(config, 5, { deviation: 0.3 });
  // The model keeps its angle tables; they are made here so that tensors can be counted.
  model.rotary.upTo(128);
  tokenizer = await loadTokenizer(sampleModel, { vocabSize: config.vocabSize });
  for (const name of ['easy', 'hard']) {
    const rows = Array.from({ length: 4 }, (_, index) =>
      JSON.stringify({ id: `${name}-${index}`, problem: `${index}+${name.length}=?`, answer: String(index + 1) }),
    );
    writeFileSync(join(folder, `${name}.jsonl`), rows.join('\n'));
  }
});
afterAll(() => {
  model.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const protocol: EvaluationProtocol = {
  temperature: 1,
  topP: 1,
  topK: 0,
  maxNewTokens: 24,
  seeds: [42, 43],
  systemPrompt: null,
  promptTemplate: '{question}',
  verifier: 'maths-1',
  problemsPerBenchmark: 3,
};
const reference = (name: string) => ({ name, path: join(folder, `${name}.jsonl`) });
const asRecorded = (sample: SampleResult): RecordedSample => [key(sample), sample.verdict, sample.completionTokens];
const key = (sample: SampleResult) => sampleKey(sample.benchmark, sample.seed, sample.problemId);

async function evaluate(
  benchmarks = ['easy', 'hard'],
  options: Partial<EvaluationOptions> = {},
  changed: Partial<EvaluationProtocol> = {},
) {
  const samples = new Map<string, SampleResult>();
  const progress: EvaluationProgress[] = [];
  const summary = await evaluateModel(
    { model, tokenizer, protocol: { ...protocol, ...changed }, benchmarks: benchmarks.map(reference) },
    { onSample: (sample) => samples.set(key(sample), sample), onProgress: (reading) => progress.push(reading), ...options },
  );
  return { samples, progress, summary };
}

describe('evaluateModel', () => {
  it.runIf(testBackend === 'wasm')('says when the fastest engine does not generate with a model, and only then', async () => {
    const log: string[] = [];
    const options = { onLog: (message: string) => log.push(message) };
    const usual = await evaluate(['easy'], options);
    expect(log).toEqual([]);
    // The identity, in a shape the CPU decode engine does not cover.
    const layer = plainActivations();
    layer.mlpInput.transform = { rows: 64, columns: 2, left: null, right: Float32Array.of(1, 0, 0, 1) };
    model.setActivations(0, layer);
    const other = await evaluate(['easy'], options);
    model.setActivations(0, null);
    expect(log).toEqual([expect.stringMatching(/^The CPU decode engine does not generate with this model: .*2 columns/)]);
    expect([...other.samples.keys()].sort()).toEqual([...usual.samples.keys()].sort());
  });

  it.each([
    ['whole', 'test 2 of 9: "3" instead of "6"', 'test 2 of 9: "3" instead of "6"'],
    ['shortened to well-formed text', `${'x'.repeat(498)}😀${'x'.repeat(9000)}`, `${'x'.repeat(498)}\uFFFD…`],
  ])('keeps what the verifier says of a verdict, %s', async (_, said, kept) => {
    const judged = vi.spyOn(getVerifier('maths-1'), 'verify').mockResolvedValue({ verdict: 'incorrect', extracted: '3', detail: said });
    const { samples } = await evaluate(['easy']);
    judged.mockRestore();
    expect(samples.size).toBe(6);
    for (const sample of samples.values()) expect(sample).toMatchObject({ verdict: 'incorrect', detail: kept });
  });

  it('makes one completion per problem and seed, judged by the verifier', async () => {
    const tensors = tf.memory().numTensors;
    const { samples, progress, summary } = await evaluate();
    expect(tf.memory().numTensors).toBe(tensors);
    expect(samples.size).toBe(12);
    expect(summary).toMatchObject({ type: 'evaluate', protocolHash: protocolHash(protocol), samples: 12 });
    expect(summary.tokensPerSecond).toBeGreaterThan(0);
    expect(new Set([...samples.values()].map((sample) => sample.finishReason))).toEqual(new Set(['stop', 'length']));
    for (const sample of samples.values()) {
      const { gold, completion, finishReason } = sample;
      expect(sample).toMatchObject({ ...verify({ gold, completion, finishReason }), detail: null });
      expect(sample.completionTokens).toBeLessThanOrEqual(24);
      expect(completion).not.toContain('<|end|>');
    }
    expect(samples.get(sampleKey('easy', 42, 'easy-2'))).toMatchObject({ prompt: '<|user|>2+4=?<|end|><|assistant|>', gold: '3' });
    expect(progress[0]).toMatchObject({ done: 0, total: 12, ratePerSecond: null });
    const last = progress.at(-1)!;
    expect(last).toMatchObject({ done: 12, total: 12 });
    expect(last.generatedTokens).toBe([...samples.values()].reduce((sum, sample) => sum + sample.completionTokens, 0));
    const accuracies = last.benchmarks.map(({ benchmark, accuracy }) => [benchmark, accuracy!.value]);
    for (const [benchmark, accuracy] of accuracies) {
      const own = [...samples.values()].filter((sample) => sample.benchmark === benchmark);
      expect(accuracy).toBe(own.filter((sample) => sample.verdict === 'correct').length / own.length);
    }
    expect(last.benchmarks).toMatchObject([
      { benchmark: 'easy', done: 6, total: 6, problems: 3, of: 3 },
      { benchmark: 'hard', done: 6, total: 6, problems: 3, of: 3 },
    ]);
  });

  it('gives every problem and seed its own randomness', async () => {
    const { samples } = await evaluate();
    expect(new Set([...samples.values()].map((sample) => sample.completion)).size).toBe(12);
  });

  it('does not depend on company, slots or where it was resumed', async () => {
    const { samples } = await evaluate();
    const alone = await evaluate(['hard'], { slots: 1 });
    for (const [name, sample] of alone.samples) expect(sample).toEqual(samples.get(name));
    const recorded = [...samples.values()].filter((_, index) => index % 3 !== 1);
    const names = recorded.map(key);
    const resumed = await evaluate(['easy', 'hard'], { recordedSamples: recorded.map(asRecorded), slots: 3 });
    expect([...resumed.samples.keys()].sort()).toEqual([...samples.keys()].filter((name) => !names.includes(name)).sort());
    for (const [name, sample] of resumed.samples) expect(sample).toEqual(samples.get(name));
    expect(resumed.progress[0]).toMatchObject({ done: 8, total: 12 });
    expect(resumed.summary.samples).toBe(12);
    // Accuracies go on from what is recorded.
    const whole = await evaluate();
    expect(resumed.progress.at(-1)!.benchmarks).toEqual(whole.progress.at(-1)!.benchmarks);
  });

  it('makes the same completions whatever is begun first', async () => {
    const { samples } = await evaluate(['easy', 'hard'], { slots: 2 });
    const lengths = (name: string, of: (index: number) => number) =>
      new Map([0, 1, 2].map((index): [string, number] => [`${name}-${index}`, of(index)]));
    for (const factor of [1, -1]) {
      const expectedTokens = new Map(['easy', 'hard'].map((name) => [name, lengths(name, (index) => 10 + factor * index)]));
      const other = await evaluate(['easy', 'hard'], { slots: 2, expectedTokens });
      expect([...other.samples.keys()].sort()).toEqual([...samples.keys()].sort());
      for (const [name, sample] of other.samples) expect(sample).toEqual(samples.get(name));
    }
  });

  it('stops at the wanted precision with the same samples, whatever is done beside and wherever it was resumed', async () => {
    const rows = Array.from({ length: 40 }, (_, index) => ({ id: `many-${index}`, problem: `${index}+1=?`, answer: '-7' }));
    writeFileSync(join(folder, 'many.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
    const changed = { precision: { points: 14, lookEvery: 5, leastProblems: 5 }, problemsPerBenchmark: null, maxNewTokens: 12 };
    const run = async (options: Partial<EvaluationOptions>) => {
      const kept = new Map<string, SampleResult>();
      let surplus: string[] = [];
      const onStop: EvaluationOptions['onStop'] = (_stop, ids) => {
        surplus = ids;
        for (const [name, sample] of kept) if (ids.includes(sample.problemId)) kept.delete(name);
      };
      const onSample = (sample: SampleResult) => kept.set(key(sample), sample);
      const { summary } = await evaluate(['many'], { ...options, onSample, onStop }, changed);
      return { kept, summary, surplus };
    };
    const whole = await run({ slots: 2 });
    const stop = whole.summary.stopped![0]!;
    expect(stop).toMatchObject({ benchmark: 'many', of: 40 });
    expect(stop.problems % 5).toBe(0);
    expect(stop.problems).toBeLessThan(35);
    expect(stop.margin).toBeLessThanOrEqual(0.14);
    expect(whole.kept.size).toBe(2 * stop.problems);
    expect(whole.summary.samples).toBe(2 * stop.problems);
    const byName = (samples: Map<string, SampleResult>) => [...samples].sort(([a], [b]) => (a < b ? -1 : 1));
    const wide = await run({ slots: 32, expectedTokens: new Map([['many', new Map(rows.map(({ id }, index) => [id, 80 - index]))]]) });
    expect(byName(wide.kept)).toEqual(byName(whole.kept));
    expect(wide.summary.stopped).toEqual(whole.summary.stopped);

    // Killed after a while: more problems than count may be recorded then.
    const early: SampleResult[] = [];
    const controller = new AbortController();
    const onSample = (sample: SampleResult) => {
      early.push(sample);
      if (early.length === 2 * stop.problems - 3) controller.abort();
    };
    await expect(evaluate(['many'], { slots: 16, onSample, signal: controller.signal }, changed)).rejects.toMatchObject({
      code: 'cancelled',
    });
    const resumed = await run({ recordedSamples: early.map(asRecorded), slots: 4 });
    const merged = new Map([...early.map((sample): [string, SampleResult] => [key(sample), sample]), ...resumed.kept]);
    for (const [name, sample] of merged) if (resumed.surplus.includes(sample.problemId)) merged.delete(name);
    expect(byName(merged)).toEqual(byName(whole.kept));
    expect(resumed.summary.stopped).toEqual(whole.summary.stopped);

    // Everything that counts is recorded, and more: nothing is generated.
    const all = await evaluate(['many'], {}, { ...changed, precision: undefined });
    const again = await run({ recordedSamples: [...all.samples.values()].map(asRecorded) });
    expect(again.kept.size).toBe(0);
    expect(again.surplus).toHaveLength(40 - stop.problems);
    expect(again.summary.stopped).toEqual(whole.summary.stopped);
  });

  it('has nothing left to do when everything is recorded', async () => {
    const { samples } = await evaluate();
    const again = await evaluate(['easy', 'hard'], { recordedSamples: [...samples.values()].map(asRecorded) });
    expect(again.samples.size).toBe(0);
    expect(again.progress).toEqual([expect.objectContaining({ done: 12, total: 12, remainingMs: null })]);
    expect(again.summary).toMatchObject({ samples: 12, tokensPerSecond: 0 });
  });

  it('gives equal completions for all seeds when greedy', async () => {
    const { samples } = await evaluate(['easy'], {}, { temperature: 0 });
    for (const id of ['easy-0', 'easy-1', 'easy-2']) {
      expect(samples.get(sampleKey('easy', 42, id))?.completion).toBe(samples.get(sampleKey('easy', 43, id))?.completion);
    }
  });

  it('stops on cancel, keeping what was made', async () => {
    const { samples } = await evaluate();
    const controller = new AbortController();
    const made = new Map<string, SampleResult>();
    const onSample = (sample: SampleResult) => {
      made.set(key(sample), sample);
      controller.abort();
    };
    await expect(evaluate(['easy', 'hard'], { signal: controller.signal, slots: 1, onSample })).rejects.toMatchObject({
      code: 'cancelled',
    });
    expect(made.size).toBeGreaterThan(0);
    expect(made.size).toBeLessThan(12);
    for (const [name, sample] of made) expect(sample).toEqual(samples.get(name));
  });

  it('refuses what cannot be evaluated before generating anything', async () => {
    const onSample = () => expect.unreachable();
    await expect(evaluate(['easy'], { onSample }, { verifier: 'maths-0' })).rejects.toMatchObject({ code: 'bad-input' });
    await expect(evaluate(['easy'], { onSample }, { maxNewTokens: 600 })).rejects.toThrow(
      /easy, problem easy-0: its prompt of .* context of 512/,
    );
    await expect(evaluate(['missing'], { onSample })).rejects.toMatchObject({ code: 'not-found' });
  });
});

describe('protocolHash', () => {
  it('depends on every setting and not on their order', () => {
    const reordered = Object.fromEntries(Object.entries(protocol).reverse()) as EvaluationProtocol;
    expect(protocolHash(reordered)).toBe(protocolHash(protocol));
    expect(protocolHash(protocol)).toMatch(/^[0-9a-f]{64}$/);
    for (const changed of [
      { temperature: 0.9 },
      { seeds: [42] },
      { verifier: 'maths-2' },
      { systemPrompt: '' },
      { problemsPerBenchmark: null },
    ]) {
      expect(protocolHash({ ...protocol, ...changed })).not.toBe(protocolHash(protocol));
    }
  });
});
