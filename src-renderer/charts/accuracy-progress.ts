/** Accuracy of each benchmark over the problems evaluated so far, in its shrinking 95 % interval. */
import type { EChartsOption, LineSeriesOption } from 'echarts';
import type { MetricSeries } from '#contract/records.ts';
import { formatPercent, formatRange } from '../format/numbers.ts';
import { axisStyle, baseOption, type ChartTheme } from './chart-theme.ts';

type Points = MetricSeries['points'];

interface BenchmarkCurve {
  benchmark: string;
  value: Points;
  low: Points;
  high: Points;
}

const metricName = /^accuracy(-low|-high)?\/(.+)$/;

/** Whether these series are accuracies with their limits, as evaluations record them. */
export function hasIntervals(series: readonly MetricSeries[]): boolean {
  return series.some(({ name }) => metricName.exec(name)?.[1] === '-low');
}

/** Takes the series `accuracy/NAME`, `accuracy-low/NAME` and `accuracy-high/NAME`. */
export function accuracyProgressOption(series: readonly MetricSeries[], theme: ChartTheme): EChartsOption {
  const curves = curvesOf(series);
  return {
    ...baseOption(theme),
    tooltip: {
      ...baseOption(theme).tooltip,
      trigger: 'axis',
      formatter: (items) => describe(curves, problemsAt([items].flat()[0]?.value)),
    },
    legend: {
      show: curves.length > 1,
      ...{ type: 'scroll', top: 0, left: 4, textStyle: { color: theme.text, fontSize: 11 }, itemWidth: 14 },
      data: curves.map(({ benchmark }) => benchmark),
    },
    grid: { left: 56, right: 18, top: curves.length > 1 ? 34 : 14, bottom: 44 },
    xAxis: {
      type: 'value',
      minInterval: 1,
      min: 0,
      max: 'dataMax',
      name: 'Problems',
      nameLocation: 'middle',
      nameGap: 26,
      ...axisStyle(theme),
      splitLine: { show: false },
    },
    yAxis: {
      type: 'value',
      ...{ min: 0, max: 1, interval: 0.25 },
      ...axisStyle(theme),
      axisLabel: { color: theme.textSoft, formatter: (value: number) => `${Math.round(value * 100)} %` },
    },
    series: curves.flatMap((curve, index) => curveSeries(curve, theme.palette[index % theme.palette.length] ?? theme.accent)),
  };
}

/** The line, and the interval as an area between two lines that are not drawn. */
function curveSeries({ benchmark, value, low, high }: BenchmarkCurve, color: string): LineSeriesOption[] {
  const band = { type: 'line', name: benchmark, stack: benchmark, symbol: 'none', lineStyle: { opacity: 0 }, silent: true } as const;
  const heights = low.map(({ step, value: limit }, place) => [step, (high[place]?.value ?? limit) - limit]);
  return [
    {
      type: 'line',
      name: benchmark,
      data: value.map((point) => [point.step, point.value]),
      ...{ showSymbol: value.length < 30, symbol: 'circle', symbolSize: 5, lineStyle: { width: 1.75 }, color, z: 3 },
    },
    { ...band, data: low.map((point) => [point.step, point.value]), color },
    { ...band, data: heights, areaStyle: { color, opacity: 0.14 }, color },
  ];
}

function curvesOf(series: readonly MetricSeries[]): BenchmarkCurve[] {
  const curves = new Map<string, BenchmarkCurve>();
  for (const { name, points } of series) {
    const [, part, benchmark] = metricName.exec(name) ?? [];
    if (benchmark === undefined) continue;
    const curve = curves.get(benchmark) ?? { benchmark, value: [], low: [], high: [] };
    curve[part === '-low' ? 'low' : part === '-high' ? 'high' : 'value'] = points;
    curves.set(benchmark, curve);
  }
  return [...curves.values()];
}

/** The place on the axis of a point `[problems, accuracy]`. */
function problemsAt(point: unknown): number {
  return Array.isArray(point) ? Number(point[0]) : 0;
}

/** What is known of each benchmark after so many problems, at its last point up to there. */
function describe(curves: readonly BenchmarkCurve[], problems: number): string {
  const lines = curves.flatMap(({ benchmark, value, low, high }) => {
    const place = value.findLastIndex(({ step }) => step <= problems);
    if (place < 0 || !low[place] || !high[place]) return [];
    return [`${benchmark} ${formatPercent(value[place]!.value)} ${formatRange({ low: low[place].value, high: high[place].value })}`];
  });
  return [`${problems} problems`, ...lines].join('\n');
}
