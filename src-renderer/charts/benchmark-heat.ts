/** Accuracy of many runs on every benchmark: runs down, benchmarks across, colour by how much of the baseline's accuracy is left. */
import type { EChartsOption } from 'echarts';
import type { BenchmarkResult, ComparisonRow } from '#contract/comparison.ts';
import { type ResultTone, resultTone, resultTones } from '#contract/sweep.ts';
import { shortBenchmarkNames } from '../format/benchmarks.ts';
import { formatPercent, formatPoints, formatRange } from '../format/numbers.ts';
import { axisStyle, baseOption, type ChartTheme } from './chart-theme.ts';

const rowHeight = 21;

/** Null when nothing has been evaluated yet. */
export function benchmarkHeatOption(
  rows: readonly ComparisonRow[],
  benchmarks: readonly string[],
  theme: ChartTheme,
): { option: EChartsOption; height: number } | null {
  const shown = rows.filter((row) => row.benchmarks.length > 0);
  if (shown.length === 0) return null;
  const short = shortBenchmarkNames(benchmarks);
  const cells = shown.flatMap((row, line) =>
    benchmarks.flatMap((name, column) => {
      const result = row.benchmarks.find((item) => item.benchmark === name);
      return result ? [{ row, line, column, result }] : [];
    }),
  );
  const option: EChartsOption = {
    ...baseOption(theme),
    grid: { left: 190, right: 12, top: 28, bottom: 6 },
    tooltip: {
      ...baseOption(theme).tooltip,
      formatter: (item) => {
        const cell = Array.isArray(item) ? undefined : cells[item.dataIndex];
        return cell ? describe(cell.row, cell.result) : '';
      },
    },
    xAxis: {
      type: 'category',
      position: 'top',
      data: benchmarks.map((name) => short.get(name) ?? name),
      ...axisStyle(theme),
      axisLine: { show: false },
      axisTick: { show: false },
      splitLine: { show: false },
      axisLabel: { color: theme.textSoft, interval: 0, hideOverlap: true },
    },
    yAxis: {
      type: 'category',
      inverse: true,
      data: shown.map((row) => row.name),
      ...axisStyle(theme),
      axisLine: { show: false },
      axisTick: { show: false },
      splitLine: { show: false },
      axisLabel: { color: theme.text, interval: 0, width: 176, overflow: 'truncate', fontSize: 11.5 },
    },
    visualMap: {
      show: false,
      type: 'continuous',
      min: 0,
      max: resultTones.length - 1,
      dimension: 2,
      inRange: { color: resultTones.map((tone) => theme.tones[tone]) },
    },
    series: [
      {
        type: 'heatmap',
        data: cells.map(({ row, line, column, result }) => ({
          value: [column, line, resultTones.indexOf(benchmarkTone(row, result))],
          label: { formatter: (100 * result.accuracy.value).toFixed(1) },
        })),
        label: { show: true, color: theme.text, fontSize: 11.5, fontFamily: theme.font },
        itemStyle: { borderColor: theme.surface, borderWidth: 2, borderRadius: 3 },
        emphasis: { itemStyle: { borderColor: theme.text, borderWidth: 1 } },
      },
    ],
  };
  return { option, height: 40 + rowHeight * shown.length };
}

/** The baseline, and runs without one to compare with, stand on the neutral ground. */
export function benchmarkTone(row: ComparisonRow, { accuracy, versusBaseline }: BenchmarkResult): ResultTone {
  if (row.isBaseline || !versusBaseline) return 'even';
  const before = accuracy.value - versusBaseline.value;
  return resultTone({ drop: versusBaseline, recovery: before > 0 ? accuracy.value / before : null }) ?? 'even';
}

function describe(row: ComparisonRow, { benchmark, accuracy, versusBaseline }: BenchmarkResult): string {
  const change = versusBaseline ? `\n${formatPoints(versusBaseline.value)} points against the baseline, ${versusBaseline.verdict}` : '';
  return `${row.name}, ${benchmark}\n${formatPercent(accuracy.value)}  95 % ${formatRange(accuracy)}${change}`;
}
