/**
 * CSV (RFC 4180): one line per run and benchmark and one per average. Text that a spreadsheet would run as a formula is
 * prefixed with an apostrophe; numbers are written plainly.
 */
import type {
  BenchmarkResult,
  ComparisonRow,
  PairedDifference,
  PerplexityResult,
  SignificanceTest,
  StudyComparison,
} from '#contract/comparison.ts';
import { overridesTitle } from '#contract/overrides.ts';
import type { RunResolution } from '#contract/resolution.ts';
import { negated } from './format.ts';
import { studyResolution } from './resolution.ts';

type Cell = string | number | boolean | null;

const failureColumns = [
  'thinking_ended',
  'cut_off',
  'tokens_p5',
  'tokens_p25',
  'tokens_p50',
  'tokens_p75',
  'tokens_p95',
  'tokens_max',
  'tokens_change',
  'tokens_change_low',
  'tokens_change_high',
  'pairs',
  'lost_to_incorrect',
  'lost_to_unparsed',
  'lost_to_truncated',
  'same_verdict',
  'both_answered',
  'same_answer',
] as const;

const columns = [
  'study',
  'protocol_hash',
  'run_id',
  'run',
  'model',
  'seed',
  'is_baseline',
  'method',
  'scheme',
  'overrides',
  'calibration_domain',
  'training',
  'training_domain',
  'loads_in',
  'exported',
  'size_bytes',
  'bits_per_weight',
  'status',
  'benchmark',
  'problems',
  'evaluation_seeds',
  'accuracy',
  'accuracy_low',
  'accuracy_high',
  'pass_k',
  'pass_at_k',
  'pass_at_k_low',
  'pass_at_k_high',
  'correct',
  'incorrect',
  'unparsed',
  'truncated',
  'mean_tokens',
  'change',
  'change_low',
  'change_high',
  'verdict',
  'gained',
  'lost',
  'mcnemar_p',
  'mcnemar_mid_p',
  'holm_p',
  'disagreement',
  'detectable_change',
  'bootstrap_low',
  'bootstrap_high',
  ...failureColumns,
  'recovery',
  'elapsed_ms',
  'peak_memory_bytes',
  'peak_gpu_memory_bytes',
  'backend',
  'device',
  'notes',
  'perplexity',
  'perplexity_ratio',
  'ratio_low',
  'ratio_high',
] as const;

/**
 * The line whose `benchmark` is `(average)` is the plain mean over benchmarks. `change` is this accuracy minus the baseline's;
 * `mcnemar_p` is the two-sided McNemar test over whole problems, on the line of the average that of the mean change, where `holm_p` is the
 * same corrected for all runs of the study. Columns of completions are empty there: lengths do not average over benchmarks.
 */
export function csvReport(comparison: StudyComparison): string {
  const lines: Cell[][] = [[...columns]];
  const resolutions = new Map(studyResolution(comparison).rows.map((resolution) => [resolution.runId, resolution]));
  for (const row of comparison.rows) {
    const seen = detectableOf(resolutions.get(row.runId));
    const head = [comparison.name, comparison.protocolHash, ...rowCells(row)];
    for (const result of row.benchmarks)
      lines.push([...head, ...benchmarkCells(result, seen), ...failureCells(result), null, ...tailCells(row)]);
    for (const result of row.perplexities) lines.push(textCells(head, result));
    lines.push([...head, ...averageCells(row, seen), ...failureColumns.map(() => null), row.recovery, ...tailCells(row)]);
  }
  return lines.map((line) => `${columns.map((_, index) => csvCell(line[index] ?? null)).join(',')}\r\n`).join('');
}

/** A text's line: what is said of accuracies stays empty. */
function textCells(head: readonly Cell[], { text, perplexity, change, complete }: PerplexityResult): Cell[] {
  const cells: Cell[] = columns.map((_, index) => head[index] ?? null);
  const set = (name: (typeof columns)[number], value: Cell) => {
    cells[columns.indexOf(name)] = value;
  };
  set('benchmark', text);
  set('verdict', change?.verdict ?? null);
  set('perplexity', complete ? perplexity : null);
  set('perplexity_ratio', change?.ratio ?? null);
  set('ratio_low', change?.low ?? null);
  set('ratio_high', change?.high ?? null);
  return cells;
}

/** Smallest differences that would have been found. */
interface Detectable {
  average: number | null;
  benchmarks: Map<string, number | null>;
}

function detectableOf(resolution: RunResolution | undefined): Detectable {
  return {
    average: resolution?.average?.detectable ?? null,
    benchmarks: new Map(resolution?.benchmarks.map(({ benchmark, detectable }) => [benchmark, detectable])),
  };
}

/** One cell: guarded against formulas, quoted where RFC 4180 asks for it. */
export function csvCell(value: Cell): string {
  if (value === null) return '';
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : String(Number(value.toFixed(6)));
  const text = typeof value === 'string' && /^[=+\-@\t\r\n]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function rowCells(row: ComparisonRow): Cell[] {
  const { runId, name, model, seed, isBaseline, method, scheme, sizeBytes, bitsPerWeight, status, loadsIn } = row;
  const kept = [
    overridesTitle(row.overrides),
    row.calibration?.domain ?? null,
    row.training.map(({ title }) => title).join(' → ') || null,
    [...new Set(row.training.map(({ domain }) => domain))].join(', ') || null,
    loadsIn?.runtimes.join(' ') ?? null,
    loadsIn?.exported ?? null,
  ];
  return [runId, name, model, seed, isBaseline, method, scheme, ...kept, sizeBytes, bitsPerWeight, status];
}

function benchmarkCells(result: BenchmarkResult, seen: Detectable): Cell[] {
  const { accuracy, passAtK, verdicts } = result;
  return [
    result.benchmark,
    result.problems,
    result.seeds.join(' '),
    accuracy.value,
    accuracy.low,
    accuracy.high,
    passAtK?.k ?? null,
    passAtK?.value ?? null,
    passAtK?.low ?? null,
    passAtK?.high ?? null,
    verdicts.correct,
    verdicts.incorrect,
    verdicts.unparsed,
    verdicts.truncated,
    result.meanTokens,
    ...differenceCells(result.versusBaseline, result.versusBaseline?.test),
    null,
    result.versusBaseline?.disagreement ?? null,
    seen.benchmarks.get(result.benchmark) ?? null,
    result.versusBaseline?.bootstrap?.low ?? null,
    result.versusBaseline?.bootstrap?.high ?? null,
  ];
}

function averageCells(row: ComparisonRow, seen: Detectable): Cell[] {
  const total = (pick: (result: BenchmarkResult) => number) => row.benchmarks.reduce((sum, result) => sum + pick(result), 0);
  const seeds = [...new Set(row.benchmarks.flatMap((result) => result.seeds))].sort((a, b) => a - b);
  return [
    '(average)',
    total((result) => result.problems),
    seeds.join(' '),
    row.average?.value ?? null,
    row.average?.low ?? null,
    row.average?.high ?? null,
    null,
    null,
    null,
    null,
    total((result) => result.verdicts.correct),
    total((result) => result.verdicts.incorrect),
    total((result) => result.verdicts.unparsed),
    total((result) => result.verdicts.truncated),
    row.benchmarks.length > 0 ? total((result) => result.meanTokens) / row.benchmarks.length : null,
    ...differenceCells(row.drop && negated(row.drop), row.dropTest),
    row.dropTest ? pCell(row.dropTest.holm) : null,
    null,
    seen.average,
    null,
    null,
  ];
}

function differenceCells(difference: PairedDifference | null, test: SignificanceTest | null | undefined): Cell[] {
  if (!difference || !test) return [null, null, null, null, null, null, null, null];
  const { value, low, high, verdict, gained, lost } = difference;
  return [value, low, high, verdict, gained, lost, pCell(test.pValue), pCell(test.midP)];
}

/** Very small p-values keep their digits. */
function pCell(value: number): string {
  return String(Number(value.toPrecision(4)));
}

function failureCells({ failures }: BenchmarkResult): Cell[] {
  const { thinkingEnded, cutOff, length, change } = failures;
  const own = [thinkingEnded, cutOff, length.p5, length.p25, length.p50, length.p75, length.p95, length.max];
  if (!change) return [...own, ...failureColumns.slice(own.length).map(() => null)];
  const { tokens, lostTo } = change;
  return [
    ...own,
    change.meanTokens - change.baselineTokens,
    tokens?.low ?? null,
    tokens?.high ?? null,
    change.pairs,
    lostTo.incorrect,
    lostTo.unparsed,
    lostTo.truncated,
    change.sameVerdict,
    change.bothAnswered,
    change.sameAnswer,
  ];
}

function tailCells(row: ComparisonRow): Cell[] {
  return [row.elapsedMs, row.peakMemoryBytes, row.peakGpuMemoryBytes, row.backend, row.device, row.notes.join(' ')];
}
