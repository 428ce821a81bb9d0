/** How long completions are, run by run: from the 5th to the 95th percentile, with the middle half as a box and the median in it. */
import type { EChartsOption } from 'echarts';
import type { ComparisonRow } from '#contract/comparison.ts';
import type { LengthQuantiles } from '#contract/failures.ts';
import { formatCount } from '../format/numbers.ts';
import { axisStyle, baseOption, type ChartTheme, methodColor } from './chart-theme.ts';

const rowHeight = 24;

/** Null without completions on the benchmark. Quantiles of several benchmarks do not combine, so there is always one. */
export function lengthBoxesOption(
  rows: readonly ComparisonRow[],
  benchmark: string,
  theme: ChartTheme,
): { option: EChartsOption; height: number } | null {
  const lines = rows.flatMap((row) => {
    const result = row.benchmarks.find((item) => item.benchmark === benchmark);
    return result ? [{ row, length: result.failures.length }] : [];
  });
  if (lines.length === 0) return null;
  const option: EChartsOption = {
    ...baseOption(theme),
    grid: { left: 190, right: 24, top: 30, bottom: 24 },
    xAxis: { type: 'value', min: 0, ...axisStyle(theme), name: 'tokens', nameLocation: 'end', nameGap: 6 },
    yAxis: {
      type: 'category',
      inverse: true,
      data: lines.map(({ row }) => row.name),
      ...axisStyle(theme),
      axisTick: { show: false },
      splitLine: { show: false },
      axisLabel: { color: theme.text, interval: 0, width: 176, overflow: 'truncate', fontSize: 11.5 },
    },
    series: [
      {
        type: 'boxplot',
        data: lines.map(({ row, length: { p5, p25, p50, p75, p95 } }) => ({
          value: [p5, p25, p50, p75, p95],
          itemStyle: { color: theme.surface, borderColor: methodColor(theme, row.method), borderWidth: 1.6 },
        })),
        boxWidth: [6, 14],
        tooltip: { formatter: (item) => (Array.isArray(item) ? '' : describe(lines[item.dataIndex]!)) },
      },
    ],
  };
  return { option, height: 60 + rowHeight * lines.length };
}

function describe({ row, length }: { row: ComparisonRow; length: LengthQuantiles }): string {
  const { p5, p25, p50, p75, p95, max } = length;
  return [
    row.name,
    `median ${formatCount(p50)} tokens`,
    `middle half ${formatCount(p25)} to ${formatCount(p75)}`,
    `5 % to 95 % ${formatCount(p5)} to ${formatCount(p95)}, longest ${formatCount(max)}`,
  ].join('\n');
}
