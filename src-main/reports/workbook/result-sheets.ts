/** The sheets of measured results. Intervals stand in columns of their own. */
import type { BenchmarkResult, ComparisonRow, Interval, PerplexityResult, StudyComparison } from '#contract/comparison.ts';
import { overridesTitle } from '#contract/overrides.ts';
import { methodLabel, negated } from '../format.ts';
import { studyResolution } from '../resolution.ts';
import { type CellValue, type SheetColumn, tableSheet, type WorkbookSheet } from './cells.ts';

type Format = NonNullable<SheetColumn<never>['format']>;
type RowColumn = SheetColumn<ComparisonRow>;

const runColumn: RowColumn = { title: 'run', value: ({ name }) => name };

/** One line per run: size, average, change, then every benchmark. */
export function comparisonSheet({ rows, benchmarks }: StudyComparison): WorkbookSheet {
  const resultOf = (row: ComparisonRow, name: string) => row.benchmarks.find(({ benchmark }) => benchmark === name);
  return tableSheet<ComparisonRow>(
    'Comparison',
    [
      runColumn,
      { title: 'model', value: ({ model }) => model },
      { title: 'seed', format: 'plain', value: ({ seed }) => seed },
      { title: 'baseline', value: ({ isBaseline }) => isBaseline },
      { title: 'status', value: ({ status }) => status },
      { title: 'method', value: ({ method }) => methodLabel(method) },
      { title: 'scheme', value: ({ scheme }) => scheme },
      { title: 'size, bytes', format: 'count', value: ({ sizeBytes }) => sizeBytes },
      { title: 'bits per weight', format: 'bits', value: ({ bitsPerWeight }) => bitsPerWeight },
      ...intervalColumns<ComparisonRow>('average accuracy', 'share', ({ average }) => average),
      ...intervalColumns<ComparisonRow>('change', 'change', ({ drop }) => drop && negated(drop)),
      { title: 'against baseline', value: ({ drop }) => drop?.verdict ?? null },
      { title: 'p', format: 'p', value: ({ dropTest }) => dropTest?.pValue ?? null },
      { title: 'p (Holm)', format: 'p', value: ({ dropTest }) => dropTest?.holm ?? null },
      { title: 'recovery', format: 'share', value: ({ recovery }) => recovery },
      ...benchmarks.flatMap(({ name }) => intervalColumns<ComparisonRow>(name, 'share', (row) => resultOf(row, name)?.accuracy)),
    ],
    rows,
  );
}

interface Measured {
  row: ComparisonRow;
  result: BenchmarkResult;
}

interface Compared {
  row: ComparisonRow;
  benchmark: string;
  difference: Interval & { verdict: string; gained: number; lost: number };
  test: { pValue: number; midP: number; exact: boolean; holm?: number };
  bootstrap: { low: number; high: number } | null;
  disagreement: number | null;
  seen: { detectable: number | null; requiredProblems: number } | null | undefined;
}

/** A line per run and benchmark that is compared with the baseline, and one per average. */
export function pairedSheet(comparison: StudyComparison): WorkbookSheet {
  const resolution = studyResolution(comparison);
  const lines = comparison.rows.flatMap((row): Compared[] => {
    const seen = resolution.rows.find(({ runId }) => runId === row.runId);
    const single = row.benchmarks.flatMap(({ benchmark, versusBaseline }) => {
      if (!versusBaseline) return [];
      const { test, bootstrap, disagreement } = versusBaseline;
      return {
        row,
        benchmark,
        difference: versusBaseline,
        test,
        bootstrap,
        disagreement,
        seen: seen?.benchmarks.find((each) => each.benchmark === benchmark),
      };
    });
    if (!row.drop || !row.dropTest) return single;
    const whole = { row, benchmark: '(average)', difference: negated(row.drop), test: row.dropTest, seen: seen?.average };
    return [...single, { ...whole, bootstrap: null, disagreement: null }];
  });
  return tableSheet<Compared>(
    'Paired tests',
    [
      { title: 'run', value: ({ row }) => row.name },
      { title: 'benchmark', value: ({ benchmark }) => benchmark },
      ...intervalColumns<Compared>('change', 'change', ({ difference }) => difference),
      { title: 'verdict', value: ({ difference }) => difference.verdict },
      { title: 'gained', format: 'count', value: ({ difference }) => difference.gained },
      { title: 'lost', format: 'count', value: ({ difference }) => difference.lost },
      { title: 'p', format: 'p', value: ({ test }) => test.pValue },
      { title: 'mid p', format: 'p', value: ({ test }) => test.midP },
      { title: 'p (Holm)', format: 'p', value: ({ test }) => test.holm ?? null },
      { title: 'exact', value: ({ test }) => test.exact },
      { title: 'bootstrap low', format: 'change', value: ({ bootstrap }) => bootstrap?.low ?? null },
      { title: 'bootstrap high', format: 'change', value: ({ bootstrap }) => bootstrap?.high ?? null },
      { title: 'disagreement', format: 'ratio', value: ({ disagreement }) => disagreement },
      { title: 'detectable change', format: 'share', value: ({ seen }) => seen?.detectable ?? null },
      {
        title: `problems for a change of ${100 * resolution.difference} points`,
        format: 'count',
        value: ({ seen }) => seen?.requiredProblems ?? null,
      },
    ],
    lines,
  );
}

export function benchmarkSheet({ rows }: StudyComparison): WorkbookSheet {
  return tableSheet<Measured>(
    'Benchmarks',
    [
      ...measuredColumns,
      { title: 'problems', format: 'count', value: ({ result }) => result.problems },
      { title: 'evaluation seeds', value: ({ result }) => result.seeds.join(' ') },
      ...intervalColumns<Measured>('accuracy', 'share', ({ result }) => result.accuracy),
      { title: 'k', format: 'plain', value: ({ result }) => result.passAtK?.k ?? null },
      ...intervalColumns<Measured>('pass@k', 'share', ({ result }) => result.passAtK),
      { title: 'correct', format: 'count', value: ({ result }) => result.verdicts.correct },
      { title: 'incorrect', format: 'count', value: ({ result }) => result.verdicts.incorrect },
      { title: 'unparsed', format: 'count', value: ({ result }) => result.verdicts.unparsed },
      { title: 'truncated', format: 'count', value: ({ result }) => result.verdicts.truncated },
      { title: 'mean tokens', format: 'tokens', value: ({ result }) => result.meanTokens },
    ],
    measuredLines(rows),
  );
}

export function failureSheet({ rows }: StudyComparison): WorkbookSheet {
  const own = (
    title: string,
    pick: (failures: BenchmarkResult['failures']) => number,
    format: Format = 'count',
  ): SheetColumn<Measured> => ({
    title,
    format,
    value: ({ result }) => pick(result.failures),
  });
  type Change = NonNullable<BenchmarkResult['failures']['change']>;
  const against = (title: string, pick: (change: Change) => CellValue | undefined, format: Format = 'count'): SheetColumn<Measured> => ({
    title,
    format,
    value: ({ result: { failures } }) => (failures.change ? (pick(failures.change) ?? null) : null),
  });
  return tableSheet<Measured>(
    'Failures',
    [
      ...measuredColumns,
      own('completions', ({ samples }) => samples),
      own('thinking ended', ({ thinkingEnded }) => thinkingEnded),
      own('cut off', ({ cutOff }) => cutOff),
      ...(['p5', 'p25', 'p50', 'p75', 'p95', 'max'] as const).map((at) => own(`tokens ${at}`, ({ length }) => length[at])),
      against('pairs', ({ pairs }) => pairs),
      against('mean tokens', ({ meanTokens }) => meanTokens, 'tokens'),
      against('baseline’s mean tokens', ({ baselineTokens }) => baselineTokens, 'tokens'),
      against('tokens change', ({ tokens }) => tokens?.value, 'tokens'),
      against('tokens change low', ({ tokens }) => tokens?.low, 'tokens'),
      against('tokens change high', ({ tokens }) => tokens?.high, 'tokens'),
      ...(['incorrect', 'unparsed', 'truncated'] as const).map((to) => against(`lost to ${to}`, ({ lostTo }) => lostTo[to])),
      ...(['incorrect', 'unparsed', 'truncated'] as const).map((from) =>
        against(`gained from ${from}`, ({ gainedFrom }) => gainedFrom[from]),
      ),
      against('same verdict', ({ sameVerdict }) => sameVerdict),
      against('both answered', ({ bothAnswered }) => bothAnswered),
      against('same answer', ({ sameAnswer }) => sameAnswer),
    ],
    measuredLines(rows),
  );
}

/** Null where no text was measured. */
export function perplexitySheet({ rows }: StudyComparison): WorkbookSheet | null {
  const lines = rows.flatMap((row) => row.perplexities.map((result) => ({ row, result })));
  if (lines.length === 0) return null;
  const own = (title: string, format: Format, pick: (result: PerplexityResult) => CellValue | undefined) => ({
    title,
    format,
    value: ({ result }: (typeof lines)[number]) => pick(result) ?? null,
  });
  return tableSheet(
    'Perplexity',
    [
      { title: 'run', value: ({ row }) => row.name },
      { title: 'text', value: ({ result }) => result.text },
      own('perplexity', 'ratio', ({ perplexity }) => perplexity),
      own('nats per token', 'ratio', ({ nats }) => nats),
      own('tokens', 'count', ({ tokens }) => tokens),
      own('windows', 'count', ({ windows }) => windows),
      { title: 'complete', value: ({ result }) => result.complete },
      own('ratio to baseline', 'ratio', ({ change }) => change?.ratio),
      own('ratio low', 'ratio', ({ change }) => change?.low),
      own('ratio high', 'ratio', ({ change }) => change?.high),
      { title: 'verdict', value: ({ result }) => result.change?.verdict ?? null },
    ],
    lines,
  );
}

/** What each run was made of and what it cost. */
export function runSheet({ rows, protocolHash }: StudyComparison): WorkbookSheet {
  const text = (title: string, value: RowColumn['value']): RowColumn => ({ title, value });
  return tableSheet<ComparisonRow>(
    'Runs',
    [
      runColumn,
      text('id', ({ runId }) => runId),
      text('model', ({ model }) => model),
      { title: 'seed', format: 'plain', value: ({ seed }) => seed },
      text('status', ({ status }) => status),
      text('method', ({ method }) => methodLabel(method)),
      text('scheme', ({ scheme }) => scheme),
      text('other modules', ({ overrides }) => overridesTitle(overrides)),
      text('calibrated on', ({ calibration }) => calibration?.domain ?? null),
      text('trained by', ({ training }) => training.map(({ title }) => title).join(' → ')),
      text('trained on', ({ training }) => [...new Set(training.map(({ domain }) => domain))].join(', ')),
      text('loads in', ({ loadsIn }) => loadsIn?.runtimes.join(', ') ?? null),
      text('exported', ({ loadsIn }) => loadsIn?.exported ?? null),
      { title: 'size, bytes', format: 'count', value: ({ sizeBytes }) => sizeBytes },
      { title: 'bits per weight', format: 'bits', value: ({ bitsPerWeight }) => bitsPerWeight },
      { title: 'time, seconds', format: 'seconds', value: ({ elapsedMs }) => elapsedMs && elapsedMs / 1000 },
      { title: 'memory, bytes', format: 'count', value: ({ peakMemoryBytes }) => peakMemoryBytes },
      { title: 'GPU memory, bytes', format: 'count', value: ({ peakGpuMemoryBytes }) => peakGpuMemoryBytes },
      text('backend', ({ backend }) => backend),
      text('device', ({ device }) => device),
      text('protocol', ({ otherProtocol }) => otherProtocol ?? protocolHash),
      { title: 'notes', wrap: true, value: ({ notes }) => notes.join('\n') },
    ],
    rows,
  );
}

const measuredColumns: SheetColumn<Measured>[] = [
  { title: 'run', value: ({ row }) => row.name },
  { title: 'benchmark', value: ({ result }) => result.benchmark },
];

function measuredLines(rows: readonly ComparisonRow[]): Measured[] {
  return rows.flatMap((row) => row.benchmarks.map((result) => ({ row, result })));
}

function intervalColumns<T>(title: string, format: Format, pick: (item: T) => Interval | null | undefined): SheetColumn<T>[] {
  return [
    { title, format, value: (item) => pick(item)?.value ?? null },
    { title: `${title} low`, format, value: (item) => pick(item)?.low ?? null },
    { title: `${title} high`, format, value: (item) => pick(item)?.high ?? null },
  ];
}
