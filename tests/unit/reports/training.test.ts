/** Trained variants in the comparison and in every report. */
import { describe, expect, it } from 'vitest';
import { quantizeStageSchema, type Stage, stageTitle } from '#contract/recipe.ts';
import { parseScheme } from '#contract/scheme.ts';
import { trainStageSchema } from '#contract/training.ts';
import type { QuantizeSummary, TrainSummary } from '#contract/worker.ts';
import { buildComparison, type CompactSample, type ComparisonRun, findings, renderReport } from '../../../src-main/reports/index.ts';
import { methodNotes } from '../../../src-main/reports/methods-text.ts';
import { fakeStudy } from './fake-study.ts';

const calibration = { path: '/data/maths.jsonl', samples: 8, sequenceLength: 64, seed: 1 };
const gptq = quantizeStageSchema.parse({ type: 'quantize', method: 'gptq', scheme: parseScheme('W2G32'), calibration });
const train = (kind: 'sft' | 'kd' | 'rl', trains: object, domain?: string) =>
  trainStageSchema.parse({
    ...{ type: 'train', trains, steps: 400, batchSize: 4, optimizer: { learningRate: 1e-4 } },
    objective: kind === 'rl' ? { kind, promptsPerStep: 2, maxNewTokens: 8 } : { kind },
    data: { path: 'sample:training/abacus.jsonl', ...(domain ? { domain } : {}) },
  });
const qat = { kind: 'quantized' };
const kd = train('kd', qat);
const rl = train('rl', qat, 'problems');
const full = fakeStudy();

function summaryOf(stage: Stage, bits: number | null): QuantizeSummary | TrainSummary {
  if (stage.type === 'quantize')
    return {
      type: 'quantize',
      method: stage.method,
      scheme: 'W2G32',
      quantizedBytes: 1,
      totalBytes: 443_520,
      bitsPerWeight: 2.56,
      layers: [],
      notes: ['rounded'],
    };
  const isRl = stage.type === 'train' && stage.objective.kind === 'rl';
  return {
    ...{
      type: 'train',
      objective: isRl ? 'GRPO' : 'KD',
      trains: 'QAT',
      steps: 400,
      tokens: 5000,
      trainableParameters: 803_456,
      examples: 600,
      tooLong: 2,
    },
    ...{
      domain: 'abacus',
      last: { loss: 0.1234, ...(isRl ? { 'reward-mean': 0.75 } : {}) },
      best: isRl ? null : { step: 300, accuracy: 0.5 },
    },
    ...{
      totalBytes: bits === null ? 3_213_824 : 450_000,
      quantizedBytes: null,
      bitsPerWeight: bits,
      notes: ['trained'],
      peakMemoryBytes: 1,
    },
  };
}

/** A run with these stages whose answers are right with probability `share`; the last `open` stages have not run yet. */
function trainedRun(id: string, name: string, stages: Stage[], bits: number | null = 2.57, open = 0): ComparisonRun {
  return {
    ...{
      id,
      name,
      isBaseline: false,
      status: open > 0 ? 'running' : 'finished',
      modelId: 1,
      seed: 42,
      parentRunId: null,
      backend: 'wasm',
      device: null,
      error: null,
    },
    recipe: { name, description: '', stages },
    stages: stages.map((stage, index) => ({
      ...{ index, type: stage.type, title: stageTitle(stage), startedAt: 0 },
      ...(index < stages.length - open
        ? { status: 'finished' as const, elapsedMs: 1000, summary: summaryOf(stage, bits) }
        : { status: 'pending' as const, elapsedMs: null, summary: null }),
    })),
    artifacts: [],
  };
}
/** Answers of `run-…` of the fake study under another run's name, some of them put right. */
function answersOf(from: string, to: string, right: number): CompactSample[] {
  return [...full.samples]
    .filter(([runId]) => runId === from)
    .map((sample, index) => [
      to,
      sample[1],
      sample[2],
      sample[3],
      index % 10 < right ? 'correct' : sample[4],
      sample[5],
      sample[6],
      sample[7],
      sample[8],
    ]);
}

const runs = [
  ...full.runs.filter(({ isBaseline }) => isBaseline),
  trainedRun('g', 'GPTQ W2G32', [gptq]),
  trainedRun('k', 'GPTQ W2G32 → KD QAT', [gptq, kd]),
  trainedRun('r', 'The workflow', [gptq, kd, rl]),
  trainedRun('s', 'SFT', [train('sft', { kind: 'weights' })], null),
  trainedRun('o', 'unfinished', [gptq, kd], 2.57, 1),
];
const samples = [
  ...[...full.samples].filter(([runId]) => runId === 'run-0'),
  ...answersOf('run-7', 'g', 0),
  ...answersOf('run-7', 'k', 5),
  ...answersOf('run-7', 'r', 6),
  ...answersOf('run-0', 's', 0),
];
const comparison = buildComparison({ ...full, runs, samples });
const row = (name: string) => comparison.rows.find((candidate) => candidate.name === name)!;

describe('a trained variant in the comparison', () => {
  it('says how it was quantized and trained, on what, and how large it became', () => {
    expect(row('The workflow')).toMatchObject({
      ...{ method: 'gptq → KD QAT → GRPO QAT', scheme: 'W2G32', sizeBytes: 450_000, bitsPerWeight: 2.57 },
      calibration: { domain: 'maths' },
      training: [
        { title: 'KD QAT', domain: 'abacus', path: 'sample:training/abacus.jsonl', steps: 400, examples: 600 },
        { title: 'GRPO QAT', domain: 'problems', steps: 400, examples: 600 },
      ],
      notes: ['rounded', 'trained', 'trained'],
    });
    expect(row('The workflow').loadsIn!.runtimes).toContain('transformers');
    expect(row('SFT')).toMatchObject({
      method: 'SFT',
      scheme: 'none',
      bitsPerWeight: 32,
      sizeBytes: 3_213_824,
      calibration: null,
      loadsIn: null,
    });
    expect(row('GPTQ W2G32')).toMatchObject({ method: 'gptq', training: [], sizeBytes: 443_520, bitsPerWeight: 2.56 });
    expect(row('unfinished')).toMatchObject({ sizeBytes: null, bitsPerWeight: null, training: [{ title: 'KD QAT', examples: null }] });
    expect(row('baseline')).toMatchObject({ training: [], method: 'none' });
  });

  it('has every stage in its lineage', () => {
    expect(comparison.lineage.find(({ name }) => name === 'The workflow')!.stages).toEqual([
      { title: 'GPTQ W2G32', summary: '2.56 bits per weight, 444 kB' },
      {
        title: 'KD QAT',
        summary: '400 steps on 600 rows of abacus, loss 0.123, best after step 300 with 50.0 %, 2.57 bits per weight, 450 kB',
      },
      { title: 'GRPO QAT', summary: '400 steps on 600 rows of abacus, loss 0.123, reward 0.750, 2.57 bits per weight, 450 kB' },
    ]);
  });

  it('gives a finding where training gains beyond the intervals, and says so where it does not', () => {
    const texts = findings(comparison).map(({ title, text }) => `${title}. ${text}`);
    expect(texts).toContainEqual(
      expect.stringMatching(
        /^KD QAT gains most: GPTQ W2G32 → KD QAT\. 400 steps on abacus take it from .* \(GPTQ W2G32\) to .* do not overlap/,
      ),
    );
    // A float model that was trained is no quantized run.
    expect(texts.join(' ')).not.toMatch(/SFT is the smallest/);
    const equal = [
      ...samples.filter(([runId]) => runId !== 'k' && runId !== 'r'),
      ...answersOf('run-7', 'k', 0),
      ...answersOf('run-7', 'r', 0),
    ];
    const flat = findings(buildComparison({ ...full, runs, samples: equal })).map(({ title }) => title);
    expect(flat).toContain('Training gains nothing that shows');
    expect(findings(buildComparison(full)).some(({ title }) => /Training|gains/.test(title))).toBe(false);
  });

  it('stands in every report with its training data', () => {
    const csv = renderReport(comparison, 'csv');
    expect(csv.split('\r\n')[0]).toContain('calibration_domain,training,training_domain,');
    expect(csv).toContain('maths,KD QAT → GRPO QAT,"abacus, problems",');
    for (const format of ['html', 'md'] as const) {
      const text = renderReport(comparison, format);
      expect(text).toContain('GPTQ → KD QAT → GRPO QAT'.replaceAll('→', '→').slice(0, 4));
      expect(text).toContain('Training by KD QAT');
    }
    expect(renderReport(comparison, 'html')).toContain('GPTQ W2G32 → KD QAT → GRPO QAT');
    expect(renderReport(comparison, 'md')).toContain('GPTQ → KD QAT → GRPO QAT');
    expect(JSON.parse(renderReport(comparison, 'json')).comparison.rows[3].training).toHaveLength(2);
    expect(methodNotes(comparison.rows)).toContain(
      'Training by KD QAT (3 runs): 400 steps on 600 rows of “abacus” (sample:training/abacus.jsonl).',
    );
    expect(methodNotes(comparison.rows)[0]).toMatch(/^Calibration of GPTQ: 8 samples/);
  });
});
