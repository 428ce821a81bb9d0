/** Columns of the comparison table: what they show, by what they sort, and how rows sort. Pure. */
import type { BenchmarkResult, ComparisonRow, Interval } from '#contract/comparison.ts';
import { shortBenchmarkNames } from '../../format/benchmarks.ts';
import { formatCount, formatPercent, formatPoints, formatRange } from '../../format/numbers.ts';

export interface ComparisonColumn {
  key: string;
  /** In the table's head. */
  label: string;
  /** In full, for the column list and hints. */
  title: string;
  isNumber: boolean;
  /** What rows sort by; null sorts last in either direction. */
  sortBy(row: ComparisonRow): number | string | null;
  /** Set for the columns of one benchmark. */
  benchmark?: string;
}

export interface SortOrder {
  key: string;
  descending: boolean;
}

export const defaultHidden = ['p', 'calibration', 'training', 'time', 'backend', 'notes'];

export function comparisonColumns(benchmarks: readonly string[]): ComparisonColumn[] {
  const short = shortBenchmarkNames(benchmarks);
  const number = (key: string, label: string, title: string, sortBy: ComparisonColumn['sortBy']): ComparisonColumn => ({
    key,
    label,
    title,
    isNumber: true,
    sortBy,
  });
  return [
    ...benchmarks.map((name) => ({
      ...number(`benchmark:${name}`, short.get(name) ?? name, name, (row) => resultOf(row, name)?.accuracy.value ?? null),
      benchmark: name,
    })),
    number('average', 'Average', 'Average over benchmarks', (row) => row.average?.value ?? null),
    number('change', 'Change', 'Change of the average from the baseline, in points', (row) => change(row)?.value ?? null),
    number('recovery', 'Recovery', 'Average as a share of the baseline’s', (row) => row.recovery),
    {
      key: 'verdict',
      label: 'Verdict',
      title: 'Verdict against the baseline',
      isNumber: false,
      sortBy: (row) => row.drop?.verdict ?? null,
    },
    number('p', 'p', 'McNemar’s test of the change, and Holm’s correction for the number of runs', (row) => row.dropTest?.pValue ?? null),
    number('size', 'Size', 'Size of the checkpoint', (row) => row.sizeBytes),
    number('bits', 'Bits', 'Bits per quantized weight, scales and zero points included', (row) => row.bitsPerWeight),
    {
      key: 'loads',
      label: 'Loads in',
      title: 'Runtimes that load it: from its exports; in brackets, what its scheme could be exported to',
      isNumber: false,
      sortBy: loadsInText,
    },
    {
      key: 'calibration',
      label: 'Calibration',
      title: 'What it was calibrated on',
      isNumber: false,
      sortBy: (row) => row.calibration?.domain ?? null,
    },
    {
      key: 'training',
      label: 'Training data',
      title: 'What it was trained on, stage by stage',
      isNumber: false,
      sortBy: trainingText,
    },
    number('time', 'Time', 'Computing time', (row) => row.elapsedMs),
    { key: 'backend', label: 'Backend', title: 'Backend', isNumber: false, sortBy: (row) => row.backend },
    { key: 'notes', label: 'Notes', title: 'Notes', isNumber: false, sortBy: (row) => row.notes.join(' ') || null },
  ];
}

/** In table order without `order`. Stable; rows without a value come last either way. */
export function sortRows(rows: readonly ComparisonRow[], columns: readonly ComparisonColumn[], order: SortOrder | null): ComparisonRow[] {
  const sortBy = order?.key === 'name' ? (row: ComparisonRow) => row.name : columns.find((column) => column.key === order?.key)?.sortBy;
  if (!order || !sortBy) return [...rows];
  const direction = order.descending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [left, right] = [sortBy(a), sortBy(b)];
    if (left === null || right === null) return Number(left === null) - Number(right === null);
    return direction * (left < right ? -1 : left > right ? 1 : 0);
  });
}

export function resultOf(row: ComparisonRow, benchmark: string) {
  return row.benchmarks.find((result) => result.benchmark === benchmark) ?? null;
}

/** This average minus the baseline's; the recorded drop has the other sign. */
export function change(row: ComparisonRow): Interval | null {
  return row.drop && { value: -row.drop.value, low: -row.drop.high, high: -row.drop.low };
}

/** `0.032`, `< 0.001`. */
export function pValueText(value: number): string {
  return value < 0.001 ? '< 0.001' : value.toFixed(3);
}

/** What the hint of an accuracy adds: pass@k, and against the baseline flips, McNemar's test and the bootstrap. */
export function detailsOf(result: BenchmarkResult | null): string {
  const pass = result?.passAtK;
  const lines = [pass ? `pass@${pass.k} ${formatPercent(pass.value)} ${formatRange(pass)}` : '', testText(result)];
  return lines.filter((line) => line !== '').join('\n');
}

function testText(result: BenchmarkResult | null): string {
  const difference = result?.versusBaseline;
  if (!difference) return '';
  const { gained, lost, test, bootstrap } = difference;
  const limits = bootstrap ? `; bootstrap ${formatRange(bootstrap)}` : '';
  return `${formatPoints(difference.value)} points ${formatRange(difference)}${limits}\n${formatCount(gained)} gained, ${formatCount(lost)} lost; McNemar p ${pValueText(test.pValue)}`;
}

/** `transformers, vLLM`; in brackets where nothing has been exported; null for the baseline. */
export function loadsInText({ loadsIn }: ComparisonRow): string | null {
  if (!loadsIn) return null;
  if (loadsIn.runtimes.length === 0) return 'Roundoff only';
  const names = loadsIn.runtimes.join(', ');
  return loadsIn.exported ? names : `(${names})`;
}

/** `KD QAT: maths, 6,000 steps`, stage by stage; null without training. */
export function trainingText({ training }: ComparisonRow): string | null {
  return training.map(({ title, domain, steps }) => `${title}: ${domain}, ${formatCount(steps)} steps`).join('; ') || null;
}

export function isStringList(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
