/** Accuracy of every run on every benchmark, as grouped bars with 95 % intervals. */
import type { BarSeriesOption, EChartsOption } from 'echarts';
import { type ComparisonRow, methodsTitle } from '#contract/comparison.ts';
import { shortBenchmarkNames } from '../format/benchmarks.ts';
import { formatPercent, formatRange } from '../format/numbers.ts';
import { axisStyle, baseOption, type ChartTheme, methodColor, seriesStyles } from './chart-theme.ts';
import { errorBars } from './error-bars.ts';

const barShare = 0.84;
const maxBarPx = 44;

/** Null when nothing has been evaluated yet. */
export function benchmarkBarsOption(
  rows: readonly ComparisonRow[],
  benchmarks: readonly string[],
  theme: ChartTheme,
): EChartsOption | null {
  const shown = rows.filter((row) => row.benchmarks.length > 0);
  if (shown.length === 0) return null;
  const short = shortBenchmarkNames(benchmarks);
  const styles = seriesStyles(
    shown.filter((row) => !row.isBaseline).map((row) => ({ name: methodsTitle(row.method), method: row.method })),
    theme,
  );
  const bars = shown.map((row): BarSeriesOption => {
    const color = styles.get(methodsTitle(row.method))?.color ?? methodColor(theme, row.method);
    return {
      type: 'bar',
      name: row.name,
      data: benchmarks.map((name) => resultOf(row, name)?.accuracy.value ?? null),
      itemStyle: { color, opacity: shade(row, shown), borderRadius: [2, 2, 0, 0] },
      barGap: '0%',
      barMaxWidth: maxBarPx,
      barCategoryGap: `${Math.round((1 - barShare) * 100)}%`,
      tooltip: { formatter: (item) => (Array.isArray(item) ? '' : describe(row, String(item.name))) },
    };
  });
  const bounds = shown.map((row, index) =>
    errorBars(
      benchmarks.flatMap((name) => {
        const result = resultOf(row, name);
        return result ? [[name, result.accuracy.low, result.accuracy.high]] : [];
      }),
      { name: row.name, color: theme.text, band: { index, count: shown.length, barShare, maxBarPx } },
    ),
  );
  return {
    ...baseOption(theme),
    grid: { left: 52, right: 16, top: 62, bottom: 30 },
    legend: {
      type: 'scroll',
      top: 6,
      left: 8,
      right: 8,
      itemWidth: 12,
      itemHeight: 12,
      textStyle: { color: theme.text, fontFamily: theme.font },
      pageIconColor: theme.accent,
      pageTextStyle: { color: theme.textSoft },
    },
    xAxis: {
      type: 'category',
      data: [...benchmarks],
      ...axisStyle(theme),
      splitLine: { show: false },
      axisLabel: { color: theme.textSoft, interval: 0, hideOverlap: true, formatter: (name: string) => short.get(name) ?? name },
    },
    yAxis: {
      type: 'value',
      min: 0,
      max: 1,
      ...axisStyle(theme),
      axisLabel: { color: theme.textSoft, formatter: (value: number) => `${Math.round(value * 100)} %` },
    },
    series: [...bars, ...bounds],
  };
}

function resultOf(row: ComparisonRow, benchmark: string) {
  return row.benchmarks.find((result) => result.benchmark === benchmark);
}

/** Variants of one method from full to lighter, in table order. */
function shade(row: ComparisonRow, rows: readonly ComparisonRow[]): number {
  const same = rows.filter((other) => other.method === row.method);
  return same.length < 2 ? 0.95 : 0.95 - (0.6 * same.indexOf(row)) / (same.length - 1);
}

function describe(row: ComparisonRow, benchmark: string): string {
  const result = resultOf(row, benchmark);
  if (!result) return '';
  const { accuracy } = result;
  return `${row.name}, ${benchmark}\n${formatPercent(accuracy.value)}  95 % ${formatRange(accuracy)}\n${result.problems} problems × ${result.seeds.length} seeds`;
}
