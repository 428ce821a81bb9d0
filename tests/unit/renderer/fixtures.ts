/** Plain records for tests of the renderer's pure parts. */
import type { ComparisonRow, Interval, PairedVerdict } from '#contract/comparison.ts';
import { quantizationMethods } from '#contract/recipe.ts';
import type { RunRecord, RunSnapshot } from '#contract/records.ts';
import type { RunEvent, RunEventBody } from '#contract/worker.ts';
import type { ChartTheme } from '../../../src-renderer/charts/chart-theme.ts';

export const theme: ChartTheme = {
  dark: false,
  text: '#111111',
  textSoft: '#555555',
  line: '#dddddd',
  lineStrong: '#bbbbbb',
  surface: '#ffffff',
  accent: '#1d4ed8',
  methods: {
    none: '#475569',
    rtn: '#9a3412',
    gptq: '#2f62f0',
    awq: '#0a8a4a',
    nf4: '#b08b08',
    int8: '#0599c6',
    quarot: '#d4568f',
    flatquant: '#5b21b6',
  },
  palette: ['#2f62f0', '#9a3412', '#0a8a4a', '#5b21b6', '#b08b08', '#d4568f', '#0599c6'],
  tones: { better: '#c9ead8', even: '#eef1f4', 'loss-1': '#fdf0dc', 'loss-2': '#fbd9b0', 'loss-3': '#f5b09b', 'loss-4': '#e8847a' },
  verdicts: { correct: '#0a0', incorrect: '#a00', unparsed: '#aa0', truncated: '#888' },
  font: 'sans-serif',
};

export function run(change: Partial<RunRecord> = {}): RunRecord {
  return {
    id: 'r1',
    studyId: 1,
    name: 'GPTQ W2G32',
    isBaseline: false,
    parentRunId: null,
    modelId: 1,
    seed: 42,
    recipe: { name: 'GPTQ W2G32', description: '', stages: [] },
    status: 'running',
    backend: null,
    device: null,
    progress: null,
    error: null,
    createdAt: 1000,
    startedAt: null,
    finishedAt: null,
    lastSeq: 0,
    ...change,
  };
}

export function snapshot(change: Partial<RunSnapshot> = {}): RunSnapshot {
  const stage = { startedAt: null, elapsedMs: null, summary: null, status: 'pending' as const };
  return {
    run: run(),
    stages: [
      { index: 0, type: 'quantize', title: 'GPTQ W2G32', ...stage },
      { index: 1, type: 'evaluate', title: 'Evaluate 2 benchmarks', ...stage },
    ],
    metrics: [],
    log: [],
    artifacts: [],
    lastSeq: 0,
    ...change,
  };
}

export function event(seq: number, body: RunEventBody): RunEvent {
  return { ...body, runId: 'r1', seq, at: 10_000 + seq };
}

export const interval = (value: number, half = 0.05): Interval => ({ value, low: value - half, high: value + half });

export function row(
  name: string,
  change: Omit<Partial<ComparisonRow>, 'overrides'> & { accuracy?: Record<string, number>; drop?: ComparisonRow['drop'] } = {},
) {
  const { accuracy = {}, ...rest } = change;
  const results = Object.entries(accuracy);
  const values = results.map(([, value]) => value);
  const average = values.length > 0 ? interval(values.reduce((sum, value) => sum + value, 0) / values.length, 0.02) : null;
  const full: ComparisonRow = {
    runId: name,
    name,
    isBaseline: false,
    status: 'finished',
    model: 'Abacus',
    modelId: 1,
    seed: 42,
    method: quantizationMethods.find((method) => name.toLowerCase().startsWith(method)) ?? 'gptq',
    scheme: name.split(' ')[1] ?? (/^(NF4|INT8)/.test(name) ? name : 'none'),
    overrides: [],
    perplexities: [],
    otherProtocol: null,
    calibration: null,
    training: [],
    loadsIn: null,
    sizeBytes: 400_000,
    bitsPerWeight: 2.5,
    benchmarks: results.map(([benchmark, value]) => ({
      benchmark,
      accuracy: interval(value),
      problems: 60,
      seeds: [42, 43, 44],
      passAtK: null,
      verdicts: { correct: 1, incorrect: 0, unparsed: 0, truncated: 0 },
      meanTokens: 80,
      versusBaseline: null,
      failures: {
        samples: 1,
        thinkingEnded: 1,
        cutOff: 0,
        length: { p5: 80, p25: 80, p50: 80, p75: 80, p95: 80, max: 80 },
        change: null,
      },
    })),
    average,
    drop: null,
    dropTest: null,
    recovery: null,
    elapsedMs: 1000,
    peakMemoryBytes: null,
    peakGpuMemoryBytes: null,
    backend: 'wasm',
    device: null,
    notes: [],
    ...rest,
  };
  return full;
}

export function drop(value: number, verdict: PairedVerdict): NonNullable<ComparisonRow['drop']> {
  return { value, low: value - 0.02, high: value + 0.03, verdict, gained: 1, lost: 2 };
}
