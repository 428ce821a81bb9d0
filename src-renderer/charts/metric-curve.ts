/** One recorded metric over its steps, or several of the same unit in one frame. */
import type { EChartsOption } from 'echarts';
import type { MetricSeries } from '#contract/records.ts';
import { formatBytes, formatPercent, formatScientific, formatShortCount } from '../format/numbers.ts';
import { axisStyle, baseOption, type ChartTheme } from './chart-theme.ts';

/** Metrics that are shares in [0, 1]. */
export function isShare(name: string): boolean {
  return /accuracy|share|ratio-correct/i.test(name);
}

/**
 * `accuracy/easy` and `accuracy/hard` belong in one frame, as do the limits `accuracy-low/easy` and `accuracy-high/easy`; the part before the
 * first slash, colon or bracket names it.
 */
export function metricFamily(name: string): string {
  const family = name.split(/[/:[]/, 1)[0]?.trim() ?? name;
  return /^accuracy-(low|high)\//.test(name) ? 'accuracy' : family;
}

/** `tokens-per-second` → Tokens per second. */
export function metricTitle(family: string): string {
  const text = family.replace(/[-_]+/g, ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** What a metric's steps count: training steps, or by what is measured. */
function stepName(family: string, isTraining: boolean): string {
  if (isTraining) return 'Steps';
  if (/error$/.test(family)) return 'Linear layers, in order';
  return /accuracy|tokens/.test(family) ? 'Completions' : 'Steps';
}

/** What follows the family's name; the whole name where nothing does. */
function memberName(name: string): string {
  return name.slice(metricFamily(name).length).replace(/^[/:[\s]+|\]$/g, '') || metricTitle(name);
}

/** Series of one stage grouped into frames, in order of first appearance. */
export function groupMetrics(metrics: readonly MetricSeries[]): { stage: number; family: string; series: MetricSeries[] }[] {
  const groups = new Map<string, { stage: number; family: string; series: MetricSeries[] }>();
  for (const series of metrics) {
    const family = metricFamily(series.name);
    const key = `${series.stage}\u0000${family}`;
    const group = groups.get(key) ?? { stage: series.stage, family, series: [] };
    group.series.push(series);
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** Frames of training in the order one looks at them; all others follow as they come. */
const trainingOrder = ['loss', 'reward', 'accuracy', 'entropy', 'length', 'gradient-norm', 'tokens-per-second'];

export function trainingRank(family: string): number {
  const rank = trainingOrder.findIndex(
    (name) => family === name || family.startsWith(`${name}-`) || (name === 'length' && family.endsWith('length')),
  );
  return rank < 0 ? trainingOrder.length : rank;
}

export function metricCurveOption(
  family: string,
  series: readonly MetricSeries[],
  theme: ChartTheme,
  { isTraining = false }: { isTraining?: boolean } = {},
): EChartsOption {
  const share = isShare(family);
  const formatPlain = /bytes$/.test(family) ? formatBytes : /tokens/.test(family) ? formatShortCount : formatScientific;
  const format = (value: number) => (share ? formatPercent(value) : formatPlain(value));
  const several = series.length > 1;
  return {
    ...baseOption(theme),
    tooltip: {
      ...baseOption(theme).tooltip,
      trigger: 'axis',
      valueFormatter: (value) => (typeof value === 'number' ? format(value) : ''),
    },
    legend: several ? { type: 'scroll', top: 0, left: 4, textStyle: { color: theme.text, fontSize: 11 }, itemWidth: 14 } : { show: false },
    grid: { left: 56, right: 18, top: several ? 34 : 14, bottom: 44 },
    xAxis: {
      type: 'value',
      minInterval: 1,
      min: 'dataMin',
      max: 'dataMax',
      name: stepName(family, isTraining),
      nameLocation: 'middle',
      nameGap: 26,
      ...axisStyle(theme),
      splitLine: { show: false },
    },
    yAxis: {
      type: 'value',
      scale: !share,
      ...(share ? { min: 0, max: 1, interval: 0.25 } : {}),
      splitNumber: 4,
      ...axisStyle(theme),
      axisLabel: {
        color: theme.textSoft,
        formatter: (value: number) => (share ? `${Math.round(value * 100)} %` : formatPlain(value)),
      },
    },
    series: series.map((item, index) => ({
      type: 'line',
      name: memberName(item.name),
      data: item.points.map((point) => [point.step, point.value]),
      showSymbol: item.points.length < 30,
      symbol: 'circle',
      symbolSize: 5,
      sampling: 'lttb',
      lineStyle: { width: 1.75 },
      color: theme.palette[index % theme.palette.length] ?? theme.accent,
    })),
  };
}
