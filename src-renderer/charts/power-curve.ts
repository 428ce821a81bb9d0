/** The chance of finding a difference, by its size: one line per benchmark and a stronger one for the average. */
import type { EChartsOption, LineSeriesOption } from 'echarts';
import type { Resolution, RunResolution } from '#contract/resolution.ts';
import { shortBenchmarkNames } from '../format/benchmarks.ts';
import { formatPercent } from '../format/numbers.ts';
import { axisStyle, baseOption, type ChartTheme } from './chart-theme.ts';

export interface WantedLines {
  /** As shares. */
  difference: number;
  power: number;
}

export function powerCurveOption({ benchmarks, average }: RunResolution, wanted: WantedLines, theme: ChartTheme): EChartsOption {
  const short = shortBenchmarkNames(benchmarks.map((item) => item.benchmark));
  const lines = [
    ...benchmarks.map((item, index) =>
      curve(short.get(item.benchmark) ?? item.benchmark, item, theme.palette[index % theme.palette.length]!, 1.6),
    ),
    ...(average ? [curve('Average', average, theme.text, 2.6)] : []),
  ];
  const end = Math.max(...benchmarks.flatMap((item) => item.curve.map((point) => point.difference)));
  const marked: LineSeriesOption = {
    type: 'line',
    name: 'Wanted',
    data: [],
    markLine: {
      symbol: 'none',
      silent: true,
      lineStyle: { color: theme.textSoft, type: 'dashed', width: 1.2 },
      label: { color: theme.textSoft, fontFamily: theme.font, formatter: '{b}' },
      data: [
        { name: `${formatPercent(wanted.power, 0)}`, yAxis: wanted.power },
        { name: 'wanted', xAxis: 100 * wanted.difference },
      ],
    },
  };
  return {
    ...baseOption(theme),
    grid: { left: 52, right: 52, top: 40, bottom: 44 },
    legend: {
      type: 'scroll',
      top: 4,
      left: 8,
      right: 8,
      data: lines.map((line) => String(line.name)),
      icon: 'roundRect',
      itemWidth: 14,
      itemHeight: 4,
      textStyle: { color: theme.text, fontFamily: theme.font },
      pageIconColor: theme.accent,
      pageTextStyle: { color: theme.textSoft },
    },
    xAxis: {
      type: 'value',
      min: 0,
      max: 100 * end,
      name: 'true difference in points',
      nameLocation: 'middle',
      nameGap: 26,
      ...axisStyle(theme),
      axisLabel: { color: theme.textSoft, showMaxLabel: false },
    },
    yAxis: {
      type: 'value',
      min: 0,
      max: 1,
      ...axisStyle(theme),
      axisLabel: { color: theme.textSoft, formatter: (value: number) => `${Math.round(value * 100)} %` },
    },
    tooltip: { ...baseOption(theme).tooltip, trigger: 'item' },
    series: [...lines, marked],
  };
}

function curve(name: string, resolution: Resolution, color: string, width: number): LineSeriesOption {
  return {
    type: 'line',
    name,
    data: resolution.curve.map(({ difference, power }) => [100 * difference, power]),
    symbol: 'none',
    triggerLineEvent: true,
    itemStyle: { color },
    lineStyle: { color, width },
    tooltip: {
      formatter: () =>
        resolution.detectable === null
          ? `${name}: no difference is seen`
          : `${name}: from ${(100 * resolution.detectable).toFixed(1)} points on`,
    },
  };
}
