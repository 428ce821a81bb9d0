/** How completions ended, run by run: shares of the four verdicts as one bar, the baseline first. */
import type { BarSeriesOption, EChartsOption } from 'echarts';
import type { ComparisonRow } from '#contract/comparison.ts';
import { type FailureTotals, failureTotals } from '#contract/failures.ts';
import { verdictNames } from '#contract/sample-query.ts';
import { verdictLabels } from '../format/methods.ts';
import { formatCount, formatPercent } from '../format/numbers.ts';
import { axisStyle, baseOption, type ChartTheme } from './chart-theme.ts';

const rowHeight = 24;

/** Null without completions. `benchmark` null takes all of them together. */
export function verdictBarsOption(
  rows: readonly ComparisonRow[],
  benchmark: string | null,
  theme: ChartTheme,
): { option: EChartsOption; height: number } | null {
  const lines = rows.flatMap((row) => {
    const totals = failureTotals(row.benchmarks.filter((result) => benchmark === null || result.benchmark === benchmark));
    return totals ? [{ row, totals }] : [];
  });
  if (lines.length === 0) return null;
  const bars = verdictNames.map(
    (verdict): BarSeriesOption => ({
      type: 'bar',
      name: verdictLabels[verdict].label,
      stack: 'all',
      data: lines.map(({ totals }) => totals.verdicts[verdict] / totals.samples),
      itemStyle: { color: theme.verdicts[verdict] },
      barWidth: '72%',
      tooltip: { formatter: (item) => (Array.isArray(item) ? '' : describe(lines[item.dataIndex]!)) },
    }),
  );
  const option: EChartsOption = {
    ...baseOption(theme),
    grid: { left: 190, right: 16, top: 30, bottom: 24 },
    legend: { top: 0, left: 190, itemWidth: 12, itemHeight: 12, textStyle: { color: theme.text, fontFamily: theme.font } },
    xAxis: {
      type: 'value',
      min: 0,
      max: 1,
      ...axisStyle(theme),
      axisLabel: { color: theme.textSoft, formatter: (value: number) => `${Math.round(value * 100)} %` },
    },
    yAxis: {
      type: 'category',
      inverse: true,
      data: lines.map(({ row }) => row.name),
      ...axisStyle(theme),
      axisTick: { show: false },
      splitLine: { show: false },
      axisLabel: { color: theme.text, interval: 0, width: 176, overflow: 'truncate', fontSize: 11.5 },
    },
    series: bars,
  };
  return { option, height: 60 + rowHeight * lines.length };
}

function describe({ row, totals }: { row: ComparisonRow; totals: FailureTotals }): string {
  const counts = verdictNames.map((verdict) => {
    const count = totals.verdicts[verdict];
    return `${verdictLabels[verdict].label}: ${formatCount(count)} (${formatPercent(count / totals.samples)})`;
  });
  return [row.name, ...counts].join('\n');
}
