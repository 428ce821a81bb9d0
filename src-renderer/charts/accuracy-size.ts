/**
 * Accuracy against size: one line per series (a method, or a method with an addition to its name) over the sizes of its variants, 95 % intervals, the baseline as a level with its interval.
 */
import type { EChartsOption, SeriesOption } from 'echarts';
import { type ComparisonRow, type Interval, seriesName } from '#contract/comparison.ts';
import { formatBits, formatBytes, formatPercent, formatRange } from '../format/numbers.ts';
import { axisStyle, baseOption, type ChartTheme, type SeriesStyle, seriesStyles } from './chart-theme.ts';
import { errorBars } from './error-bars.ts';

export interface AccuracySizeOptions {
  x: 'bits' | 'size';
  /** Null for the average over benchmarks. */
  benchmark: string | null;
}

/** With more variants, names are left to the tooltip. */
const maxLabelled = 16;
/** Widest spread of the series that share one size. */
const maxSpreadPx = 36;
/** A dashed line, as the baseline is drawn. */
const dashIcon = 'path://M0,9h7v2h-7z M10,9h7v2h-7z M20,9h7v2h-7z';

export interface Point {
  x: number;
  accuracy: Interval;
  row: ComparisonRow;
}

/** Null when no variant has both a size and an accuracy yet. */
export function accuracySizeOption(rows: readonly ComparisonRow[], theme: ChartTheme, options: AccuracySizeOptions): EChartsOption | null {
  const points = rows.flatMap((row) => toPoint(row, options));
  const variants = points.filter((point) => !point.row.isBaseline);
  if (variants.length === 0) return null;
  const baseline = points.find((point) => point.row.isBaseline)?.accuracy ?? null;
  const styles = pointStyles(variants, theme);
  const names = [...styles.keys()];
  const lows = [...variants.map((point) => point.accuracy.low), baseline?.low ?? 1];
  const series = names.flatMap((name, index) =>
    variantSeries(
      name,
      variants.filter((point) => seriesName(point.row) === name),
      { theme, index, count: names.length, style: styles.get(name)!, labelled: variants.length <= maxLabelled },
    ),
  );
  const sizes = variants.map((point) => point.x);
  const [low, high] = [Math.min(...sizes), Math.max(...sizes)];
  const margin = Math.max((high - low) * 0.08, high * 0.06);
  const bottom = Math.min(...lows);
  const interval = bottom > 0.5 ? 0.1 : 0.2;
  return {
    ...baseOption(theme),
    grid: { left: 58, right: 24, top: 44, bottom: 48 },
    legend: {
      type: 'scroll',
      top: 6,
      left: 8,
      right: 8,
      itemGap: 14,
      pageIconColor: theme.text,
      pageIconInactiveColor: theme.line,
      pageTextStyle: { color: theme.textSoft },
      textStyle: { color: theme.text, fontFamily: theme.font },
      data: [...names, ...(baseline ? [{ name: baselineName(baseline), icon: dashIcon }] : [])],
    },
    xAxis: {
      type: 'value',
      min: low - margin,
      max: high + margin,
      name: options.x === 'bits' ? 'Bits per weight (scales and zero points included)' : 'Checkpoint size',
      nameLocation: 'middle',
      nameGap: 30,
      ...axisStyle(theme),
      axisLabel: {
        color: theme.textSoft,
        showMinLabel: false,
        showMaxLabel: false,
        formatter: (value: number) => (options.x === 'bits' ? value.toFixed(1) : formatBytes(value)),
      },
    },
    yAxis: {
      type: 'value',
      min: Math.max(0, Math.floor(bottom / interval - 0.05) * interval),
      max: 1,
      interval,
      name: options.benchmark ?? 'Average accuracy',
      nameLocation: 'middle',
      nameGap: 42,
      ...axisStyle(theme),
      axisLabel: { color: theme.textSoft, formatter: (value: number) => `${Math.round(value * 100)} %` },
    },
    series: baseline ? [...series, baselineLevel(baseline, theme)] : series,
  };
}

/** Colour and symbol of every series, in order of first appearance. */
export function pointStyles(points: readonly Point[], theme: ChartTheme): Map<string, SeriesStyle> {
  const series = new Map(points.map(({ row }) => [seriesName(row), row.method]));
  return seriesStyles(
    [...series].map(([name, method]) => ({ name, method })),
    theme,
  );
}

export function toPoint(row: ComparisonRow, options: AccuracySizeOptions): Point[] {
  const x = options.x === 'bits' ? row.bitsPerWeight : row.sizeBytes;
  const accuracy =
    options.benchmark === null ? row.average : row.benchmarks.find((result) => result.benchmark === options.benchmark)?.accuracy;
  if (!accuracy || (x === null && !row.isBaseline)) return [];
  return [{ x: x ?? 0, accuracy, row }];
}

interface Place {
  theme: ChartTheme;
  index: number;
  count: number;
  style: SeriesStyle;
  labelled: boolean;
}

function variantSeries(name: string, points: Point[], { theme, index, count, style, labelled }: Place): SeriesOption[] {
  const { color } = style;
  const sorted = [...points].sort((a, b) => a.x - b.x);
  const shift = (index - (count - 1) / 2) * Math.min(8, maxSpreadPx / Math.max(1, count - 1));
  return [
    {
      type: 'line',
      name,
      data: sorted.map((point) => ({ value: [point.x, point.accuracy.value], name: point.row.name })),
      symbol: style.symbol,
      symbolSize: 10,
      symbolOffset: [shift, 0],
      color,
      itemStyle: style.isAddition ? { color: theme.surface, borderColor: color, borderWidth: 2 } : { color },
      lineStyle: { width: 1.5, opacity: 0.6, type: style.isAddition ? 'dashed' : 'solid', color },
      emphasis: { focus: 'series' },
      z: 6,
      label: {
        show: labelled,
        position: index % 2 === 0 ? 'bottom' : 'top',
        distance: 8,
        offset: [shift * 3, 0],
        color: theme.text,
        fontSize: 11,
        formatter: (item) => sorted[item.dataIndex]?.row.scheme ?? '',
      },
      labelLayout: { hideOverlap: true },
      tooltip: { formatter: (item) => describe(sorted[Array.isArray(item) ? 0 : item.dataIndex]) },
    },
    errorBars(
      sorted.map((point) => [point.x, point.accuracy.low, point.accuracy.high]),
      { name, color, shift },
    ),
  ];
}

const baselineName = (baseline: Interval) => `Baseline ${formatPercent(baseline.value)}`;

function baselineLevel(baseline: Interval, theme: ChartTheme): SeriesOption {
  const color = theme.methods.none ?? theme.text;
  return {
    type: 'line',
    name: baselineName(baseline),
    data: [],
    color,
    symbol: 'none',
    lineStyle: { type: 'dashed', width: 1.5 },
    markLine: {
      silent: true,
      symbol: 'none',
      lineStyle: { color, type: 'dashed', width: 1.5 },
      label: { show: false },
      data: [{ yAxis: baseline.value }],
    },
    markArea: { silent: true, itemStyle: { color, opacity: 0.1 }, data: [[{ yAxis: baseline.low }, { yAxis: baseline.high }]] },
  };
}

export function describe(point: Point | undefined): string {
  if (!point) return '';
  const { row, accuracy } = point;
  const size = row.sizeBytes === null ? '' : `\n${formatBytes(row.sizeBytes)}`;
  const bits = row.bitsPerWeight === null ? '' : `, ${formatBits(row.bitsPerWeight)} bits per weight`;
  return `${row.name}\n${formatPercent(accuracy.value)}  95 % ${formatRange(accuracy)}${size}${bits}`;
}
