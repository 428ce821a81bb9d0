/**
 * Accuracy against size for many variants: one panel per series on shared axes, its points with 95 % intervals before those of all others.
 */
import type { EChartsOption, SeriesOption } from 'echarts';
import { type ComparisonRow, seriesName } from '#contract/comparison.ts';
import { formatBytes } from '../format/numbers.ts';
import { type AccuracySizeOptions, describe, type Point, pointStyles, toPoint } from './accuracy-size.ts';
import { axisStyle, baseOption, type ChartTheme, type SeriesStyle } from './chart-theme.ts';
import { errorBars } from './error-bars.ts';

const panelHeight = 214;
const gap = { left: 46, right: 10, top: 30, bottom: 30 };

/** Null when no variant has both a size and an accuracy yet. `columns` panels stand side by side. */
export function accuracyPanelsOption(
  rows: readonly ComparisonRow[],
  theme: ChartTheme,
  options: AccuracySizeOptions & { columns: number },
): { option: EChartsOption; height: number } | null {
  const points = rows.flatMap((row) => toPoint(row, options));
  const variants = points.filter((point) => !point.row.isBaseline);
  if (variants.length === 0) return null;
  const styles = pointStyles(variants, theme);
  const names = [...styles.keys()];
  const baseline = points.find((point) => point.row.isBaseline) ?? null;
  const sizes = variants.map((point) => point.x);
  const margin = Math.max((Math.max(...sizes) - Math.min(...sizes)) * 0.08, Math.max(...sizes) * 0.04);
  const bottom = Math.min(...points.map((point) => point.accuracy.low));
  const low = Math.max(0, Math.floor(bottom * 5 - 0.1) / 5);
  const span = { x: Math.max(...sizes) - Math.min(...sizes) + 2 * margin, y: 1 - low };
  const width = 100 / options.columns;
  const place = (index: number) => ({ column: index % options.columns, line: Math.floor(index / options.columns) });
  const option: EChartsOption = {
    ...baseOption(theme),
    title: names.map((name, index) => ({
      text: name,
      left: `${place(index).column * width + 1}%`,
      top: place(index).line * panelHeight + 4,
      padding: 0,
      textStyle: { color: theme.text, fontSize: 13, fontWeight: 600, fontFamily: theme.font },
    })),
    grid: names.map((_, index) => ({
      left: `${place(index).column * width + 4}%`,
      width: `${width - 5.5}%`,
      top: place(index).line * panelHeight + gap.top,
      height: panelHeight - gap.top - gap.bottom,
    })),
    xAxis: names.map((_, index) => ({
      type: 'value',
      gridIndex: index,
      min: Math.min(...sizes) - margin,
      max: Math.max(...sizes) + margin,
      splitNumber: 4,
      ...axisStyle(theme),
      splitLine: { show: false },
      axisLabel: {
        color: theme.textSoft,
        showMinLabel: false,
        showMaxLabel: false,
        hideOverlap: true,
        formatter: (value: number) => (options.x === 'bits' ? value.toFixed(0) : formatBytes(value)),
      },
    })),
    yAxis: names.map((_, index) => ({
      type: 'value',
      gridIndex: index,
      min: low,
      max: 1,
      interval: 0.2,
      ...axisStyle(theme),
      axisLabel: { color: theme.textSoft, formatter: (value: number) => `${Math.round(value * 100)} %` },
    })),
    series: names.flatMap((name, index) => panelSeries({ name, index, variants, baseline, span, theme, style: styles.get(name)! })),
  };
  return { option, height: panelHeight * Math.ceil(names.length / options.columns) };
}

interface Panel {
  name: string;
  index: number;
  variants: readonly Point[];
  baseline: Point | null;
  /** Of the axes. */
  span: { x: number; y: number };
  theme: ChartTheme;
  style: SeriesStyle;
}

function panelSeries({ name, index, variants, baseline, span, theme, style }: Panel): SeriesOption[] {
  const own = variants.filter((point) => seriesName(point.row) === name).sort((a, b) => a.x - b.x);
  const others = variants.filter((point) => seriesName(point.row) !== name);
  const axes = { xAxisIndex: index, yAxisIndex: index };
  const labels = placeLabels(own, span);
  const level = baseline && {
    silent: true,
    symbol: 'none',
    lineStyle: { color: theme.methods.none ?? theme.text, type: 'dashed' as const, width: 1.2 },
    label: { show: false },
    data: [{ yAxis: baseline.accuracy.value }],
  };
  return [
    {
      type: 'line',
      ...axes,
      name: 'others',
      silent: true,
      data: others.map((point) => [point.x, point.accuracy.value]),
      symbol: 'circle',
      symbolSize: 4,
      color: theme.textSoft,
      itemStyle: { opacity: 0.35 },
      lineStyle: { width: 0 },
      z: 2,
      ...(level ? { markLine: level } : {}),
    },
    {
      type: 'line',
      ...axes,
      name,
      data: own.map((point, at) => ({ value: [point.x, point.accuracy.value], name: point.row.name, label: labels[at]! })),
      symbol: style.symbol,
      symbolSize: 9,
      color: style.color,
      itemStyle: style.isAddition ? { color: theme.surface, borderColor: style.color, borderWidth: 2 } : { color: style.color },
      lineStyle: { width: 1.5, opacity: 0.6, type: style.isAddition ? 'dashed' : 'solid', color: style.color },
      z: 6,
      label: { distance: 7, color: theme.text, fontSize: 10.5, formatter: (item) => own[item.dataIndex]?.row.scheme ?? '' },
      tooltip: { formatter: (item) => describe(own[Array.isArray(item) ? 0 : item.dataIndex]) },
    },
    {
      ...errorBars(
        own.map((point) => [point.x, point.accuracy.low, point.accuracy.high]),
        { name, color: style.color },
      ),
      ...axes,
    },
  ];
}

/** Least size of a panel's plot, and of a letter. */
const plotPx = { width: 250, height: panelHeight - gap.top - gap.bottom };
const letterPx = { width: 6.2, height: 13 };

/** Below or above each interval, where a name touches no other; without room the tooltip alone names the point. */
function placeLabels(points: readonly Point[], span: { x: number; y: number }): { show: boolean; position: 'bottom' | 'top' }[] {
  const placed: { x: number; y: number; half: number }[] = [];
  return points.map((point) => {
    const x = (point.x / span.x) * plotPx.width;
    const y = (-point.accuracy.value / span.y) * plotPx.height;
    const half = (point.row.scheme.length * letterPx.width) / 2;
    for (const position of ['bottom', 'top'] as const) {
      const at = y + (position === 'bottom' ? letterPx.height : -letterPx.height);
      const isFree = placed.every((other) => Math.abs(other.x - x) > other.half + half || Math.abs(other.y - at) > letterPx.height);
      if (!isFree) continue;
      placed.push({ x, y: at, half });
      return { show: true, position };
    }
    return { show: false, position: 'bottom' };
  });
}
