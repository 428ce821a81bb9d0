/** One recorded metric over its steps, or several of the same unit in one frame. */
import type { EChartsOption } from 'echarts';
import type { MetricSeries } from '#contract/records.ts';
import { formatPercent, formatScientific } from '../format/numbers.ts';
import { axisStyle, baseOption, type ChartTheme } from './chart-theme.ts';

/** Metrics that are shares in [0, 1]. */
export function isShare(name: string): boolean {
  return /accuracy|share|ratio-correct/i.test(name);
}

/** `accuracy/easy` and `accuracy/hard` belong in one frame; the part before the first slash, colon or bracket names it. */
export function metricFamily(name: string): string {
  return name.split(/[/:[]/, 1)[0]?.trim() ?? name;
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

export function metricCurveOption(family: string, series: readonly MetricSeries[], theme: ChartTheme): EChartsOption {
  const share = isShare(family);
  const format = (value: number) => (share ? formatPercent(value) : formatScientific(value));
  const several = series.length > 1;
  return {
    ...baseOption(theme),
    animation: false,
    tooltip: {
      ...baseOption(theme).tooltip,
      trigger: 'axis',
      valueFormatter: (value) => (typeof value === 'number' ? format(value) : ''),
    },
    legend: several ? { type: 'scroll', top: 0, left: 4, textStyle: { color: theme.text, fontSize: 11 }, itemWidth: 14 } : { show: false },
    grid: { left: 56, right: 18, top: several ? 34 : 14, bottom: 28 },
    xAxis: { type: 'value', minInterval: 1, ...axisStyle(theme), splitLine: { show: false }, min: 'dataMin', max: 'dataMax' },
    yAxis: {
      type: 'value',
      scale: !share,
      ...(share ? { min: 0, max: 1 } : {}),
      splitNumber: 4,
      ...axisStyle(theme),
      axisLabel: {
        color: theme.textSoft,
        formatter: (value: number) => (share ? `${Math.round(value * 100)} %` : formatScientific(value)),
      },
    },
    series: series.map((item, index) => ({
      type: 'line',
      name: item.name,
      data: item.points.map((point) => [point.step, point.value]),
      showSymbol: item.points.length < 30,
      symbolSize: 5,
      sampling: 'lttb',
      lineStyle: { width: 1.75 },
      color: theme.palette[index % theme.palette.length] ?? theme.accent,
    })),
  };
}
