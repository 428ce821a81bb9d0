/** The tables of measured results: per run, per benchmark, method by scheme, paired tests, cost. */
import type { ComparisonRow, Interval, PairedVerdict, StudyComparison } from '#contract/comparison.ts';
import { isWorthAMatrix, schemeMatrix } from '#contract/sweep.ts';
import { bytes, count, duration, loadsInLabel, methodLabel, negated, percent, points, pValue, schemeLabel } from '../format.ts';
import type { LatexCell, LatexColumn, LatexTable } from './table.ts';
import { latexText } from './text.ts';

const dash = '\\textendash{}';
const right = (title: string): LatexColumn => ({ title, align: 'r' });
const centred = (title: string): LatexColumn => ({ title, align: 'c' });
const left = (title: string): LatexColumn => ({ title, align: 'l' });

const intervals = 'Small figures are 95\\,\\% intervals.';
const stars =
  '\\textsuperscript{*}\\,$p<0.05$, \\textsuperscript{**}\\,$p<0.01$, \\textsuperscript{***}\\,$p<0.001$ against the unquantized baseline of the same model';
const verdicts: Record<PairedVerdict, string> = { better: 'better', worse: 'worse', 'not distinguishable': 'n.\\,d.' };
const bold = 'Bold: the best variant of a model, where its interval lies above that of every other variant in the column.';

/** Size, average, change and its tests, one line per run. */
export function resultsTable(comparison: StudyComparison, label: string): LatexTable {
  return {
    label,
    caption: `${latexText(comparison.name)}: results. Average accuracy over the benchmarks in \\%, change against the unquantized baseline in points, paired by problem and seed. ${intervals}`,
    columns: [
      left('run'),
      right('bits per weight'),
      ...['average', 'change'].map(centred),
      ...['p', 'p (Holm)', 'recovery'].map(right),
      left('verdict'),
    ],
    groups: byModel(comparison, (row) => [
      latexText(row.name),
      row.bitsPerWeight?.toFixed(2) ?? dash,
      row.average ? twoLines(percent, row.average) : latexText(row.status),
      row.drop ? twoLines(points, negated(row.drop)) : dash,
      row.dropTest ? latexText(pValue(row.dropTest.pValue)) : dash,
      row.dropTest ? latexText(pValue(row.dropTest.holm)) : dash,
      row.recovery === null ? dash : `${percent(row.recovery)}\\,\\%`,
      row.isBaseline ? 'baseline' : row.drop ? verdicts[row.drop.verdict] : dash,
    ]),
    notes: [
      "Verdict by the paired interval: better or worse where it excludes zero, otherwise not distinguishable (n.\\,d.), which is no proof of equality. $p$: two-sided test over whole problems, alone and corrected by Holm's method for all variants of a model.",
    ],
  };
}

/** Variants down, benchmarks across. */
export function accuracyTable(comparison: StudyComparison, label: string): LatexTable {
  const names = comparison.benchmarks.map(({ name }) => name);
  const resultOf = (row: ComparisonRow, name: string) => row.benchmarks.find(({ benchmark }) => benchmark === name);
  const best = bestOf(comparison);
  const cell = (accuracy: Interval | null | undefined, p: number | undefined): LatexCell => {
    if (!accuracy) return dash;
    const [value, interval] = twoLines(percent, accuracy);
    return [`${best.has(accuracy) ? `\\textbf{${value}}` : value}${raised(p)}`, interval];
  };
  return {
    label,
    caption: `${latexText(comparison.name)}: accuracy in \\% by benchmark. ${intervals}`,
    columns: [left('run'), ...names.map(centred), centred('average')],
    groups: byModel(comparison, (row) => [
      `${latexText(row.name)}${isPartial(row) ? '$^{\\dagger}$' : ''}`,
      ...names.map((name) => {
        const result = resultOf(row, name);
        return cell(result?.accuracy, result?.versusBaseline?.test.pValue);
      }),
      cell(row.average, row.dropTest?.holm),
    ]),
    notes: [
      `${stars}: for a benchmark McNemar's test over whole problems, uncorrected; for the average corrected by Holm's method. ${bold}`,
      ...(comparison.rows.some(isPartial) ? ['$^{\\dagger}$\\,Not all problems are answered yet, and short completions end first.'] : []),
    ],
  };
}

const isPartial = ({ average, benchmarks }: ComparisonRow) => average === null && benchmarks.length > 0;

/** Of every model's variants that are complete, in every column of the accuracy table. */
function bestOf({ rows }: StudyComparison): Set<Interval> {
  const best: (Interval | null)[] = [];
  for (const own of Map.groupBy(rows, ({ modelId }) => modelId).values()) {
    const variants = own.filter(({ isBaseline, average }) => !isBaseline && average !== null);
    const results = Map.groupBy(
      variants.flatMap(({ benchmarks }) => benchmarks),
      ({ benchmark }) => benchmark,
    );
    for (const each of results.values()) best.push(distinguishable(each.map(({ accuracy }) => accuracy)));
    best.push(distinguishable(variants.flatMap(({ average }) => average ?? [])));
  }
  return new Set(best.filter((interval) => interval !== null));
}

/** Methods down, schemes across, once per model where there are enough of both. */
export function matrixTables({ name, rows }: StudyComparison, label: string): LatexTable[] {
  const models = [...Map.groupBy(rows, ({ modelId }) => modelId).values()];
  return models.flatMap((own, index) => {
    const matrix = schemeMatrix(own);
    if (!isWorthAMatrix(matrix)) return [];
    const baseline = own.find(({ isBaseline }) => isBaseline)?.average;
    const unquantized = baseline ? ` Unquantized: ${twoLines(percent, baseline).join(' ')}.` : '';
    return {
      label: index === 0 ? label : `${label}-model${index + 1}`,
      caption: `${latexText(name)}${models.length > 1 ? `, ${latexText(own[0]!.model)}` : ''}: average accuracy in \\% by method and scheme. ${intervals}${unquantized}`,
      columns: [left('method'), ...matrix.columns.map(centred)],
      groups: [{ title: null, rows: matrix.lines.map(({ series, rows: cells }) => [latexText(series), ...cells.map(matrixCell)]) }],
      notes: [`${stars}, corrected by Holm's method.`],
    };
  });
}

/** Every run on every benchmark against the baseline. */
export function pairedTable(comparison: StudyComparison, label: string): LatexTable {
  const lines = (row: ComparisonRow) =>
    row.benchmarks.flatMap(({ benchmark, versusBaseline }): LatexCell[][] => {
      if (!versusBaseline) return [];
      const { gained, lost, test, bootstrap } = versusBaseline;
      return [
        [
          latexText(row.name),
          latexText(benchmark),
          latexText(points(versusBaseline.value)),
          limits(points, versusBaseline),
          bootstrap ? limits(points, bootstrap) : dash,
          count(gained),
          count(lost),
          latexText(pValue(test.pValue)),
        ],
      ];
    });
  return {
    label,
    caption: `${latexText(comparison.name)}: paired comparison with the unquantized baseline, benchmark by benchmark, over the same problems and seeds. Change in points with its 95\\,\\% interval (Student's $t$ over problems) and the limits of a paired bootstrap over problems.`,
    columns: [
      left('run'),
      left('benchmark'),
      right('change'),
      centred('interval'),
      centred('bootstrap'),
      ...['gained', 'lost', 'p'].map(right),
    ],
    groups: groupsOf(comparison, lines),
    notes: [
      "Gained and lost: completions right here and wrong in the baseline, and the other way round. $p$: two-sided McNemar's test over whole problems, not corrected for the number of variants.",
    ],
  };
}

/** What each run is: its method, codes, data, and where its export loads. */
export function variantTable(comparison: StudyComparison, label: string): LatexTable {
  return {
    label,
    caption: `${latexText(comparison.name)}: the runs.`,
    columns: ['run', 'method', 'scheme', 'calibrated on', 'trained on', 'loads in'].map(left),
    groups: byModel(comparison, (row) => [
      latexText(row.name),
      latexText(methodLabel(row.method)),
      latexText(schemeLabel(row)),
      latexText(row.calibration?.domain ?? '–'),
      latexText([...new Set(row.training.map(({ domain }) => domain))].join(', ') || '–'),
      latexText(loadsInLabel(row)),
    ]),
    notes: ['Loads in: runtimes that compute the quantized checkpoint as it was measured; in brackets, what it could be exported to.'],
  };
}

/** Size, time and memory. */
export function costTable(comparison: StudyComparison, label: string): LatexTable {
  const onGpu = comparison.rows.some(({ peakGpuMemoryBytes }) => peakGpuMemoryBytes !== null);
  const size = (value: number | null) => (value === null ? dash : latexText(bytes(value)));
  return {
    label,
    caption: `${latexText(comparison.name)}: what each run cost. Size of the weight files, computing time of all stages with the evaluation, and the most memory that any stage used.`,
    columns: [left('run'), ...['size', 'bits per weight', 'time', 'memory', ...(onGpu ? ['GPU memory'] : [])].map(right), left('backend')],
    groups: byModel(comparison, (row) => [
      latexText(row.name),
      size(row.sizeBytes),
      row.bitsPerWeight?.toFixed(2) ?? dash,
      row.elapsedMs === null ? dash : latexText(duration(row.elapsedMs)),
      size(row.peakMemoryBytes),
      ...(onGpu ? [size(row.peakGpuMemoryBytes)] : []),
      latexText(row.backend ?? '–'),
    ]),
  };
}

/** Rows under the name of their model where there are several. */
export function groupsOf(
  { rows }: Pick<StudyComparison, 'rows'>,
  lines: (row: ComparisonRow) => readonly (readonly LatexCell[])[],
): LatexTable['groups'] {
  const models = [...Map.groupBy(rows, ({ modelId }) => modelId).values()];
  return models.map((own) => ({ title: models.length > 1 ? own[0]!.model : null, rows: own.flatMap(lines) }));
}

function byModel(comparison: StudyComparison, line: (row: ComparisonRow) => readonly LatexCell[]): LatexTable['groups'] {
  return groupsOf(comparison, (row) => [line(row)]);
}

/** The highest of several, when its interval lies above all the others'. */
export function distinguishable(intervals: readonly Interval[]): Interval | null {
  if (intervals.length < 2) return null;
  const highest = intervals.reduce((best, each) => (each.value > best.value ? each : best));
  return intervals.every((each) => each === highest || each.high < highest.low) ? highest : null;
}

export function significanceMark(p: number): '' | '*' | '**' | '***' {
  return p < 0.001 ? '***' : p < 0.01 ? '**' : p < 0.05 ? '*' : '';
}

function matrixCell(row: ComparisonRow | null): LatexCell {
  if (!row) return '';
  if (!row.average) return latexText(row.status);
  const [value, interval] = twoLines(percent, row.average);
  return [`${value}${raised(row.dropTest?.holm)}`, interval];
}

/** The mark above the line; it takes no width, so that values stay below each other. */
function raised(p: number | undefined): string {
  const mark = p === undefined ? '' : significanceMark(p);
  return mark && `\\rlap{\\textsuperscript{${mark}}}`;
}

function twoLines(show: (value: number) => string, interval: Interval): [value: string, limits: string] {
  return [latexText(show(interval.value)), limits(show, interval)];
}

/** `[69.0, 73.6]` */
function limits(show: (value: number) => string, { low, high }: { low: number; high: number }): string {
  return `[${latexText(show(low))}, ${latexText(show(high))}]`;
}
