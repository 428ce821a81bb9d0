/** Quantization error of every linear layer: decoder layers across, modules down, colour by the logarithm of the error. */
import type { EChartsOption } from 'echarts';
import type { LayerError } from '#contract/worker.ts';
import { formatScientific } from '../format/numbers.ts';
import { axisStyle, baseOption, type ChartTheme } from './chart-theme.ts';

export type LayerMeasure = 'weightError' | 'outputError' | 'outputErrorVsRtn';

export const layerMeasureLabels: Record<LayerMeasure, string> = {
  weightError: 'Weight error (MSE)',
  outputError: 'Output error on calibration data (MSE)',
  outputErrorVsRtn: 'Output error ÷ round-to-nearest',
};

/** `model.layers.3.mlp.down_proj` → layer 3, module `down_proj`. */
export function splitLayerName(name: string): { layer: number; module: string } {
  const match = /layers\.(\d+)\.(.+)$/.exec(name);
  const tail = (match?.[2] ?? name).split('.').at(-1) ?? name;
  return { layer: match ? Number(match[1]) : 0, module: tail };
}

/** Null when no layer has the measure. */
export function layerErrorsOption(layers: readonly LayerError[], measure: LayerMeasure, theme: ChartTheme): EChartsOption | null {
  const cells = layers.flatMap((layer) => {
    const value = layer[measure];
    return value === null ? [] : [{ ...splitLayerName(layer.name), name: layer.name, value }];
  });
  if (cells.length === 0) return null;
  const modules = [...new Set(cells.map((cell) => cell.module))];
  const indices = [...new Set(cells.map((cell) => cell.layer))].sort((a, b) => a - b);
  const scaled = (value: number) => (measure === 'outputErrorVsRtn' ? value : Math.log10(Math.max(value, 1e-12)));
  const levels = cells.map((cell) => scaled(cell.value));
  const low = Math.min(...levels);
  const high = Math.max(...levels);
  return {
    ...baseOption(theme),
    grid: { left: 92, right: 96, top: 10, bottom: 44 },
    tooltip: {
      ...baseOption(theme).tooltip,
      formatter: (item) => {
        const cell = Array.isArray(item) ? undefined : cells[item.dataIndex];
        return cell ? `${cell.name}\n${formatScientific(cell.value)}` : '';
      },
    },
    xAxis: {
      type: 'category',
      data: indices.map(String),
      name: 'Decoder layer',
      nameLocation: 'middle',
      nameGap: 28,
      ...axisStyle(theme),
      splitLine: { show: false },
    },
    yAxis: { type: 'category', data: modules, inverse: true, ...axisStyle(theme), splitLine: { show: false } },
    visualMap: {
      type: 'continuous',
      min: low,
      max: high > low ? high : low + 1,
      right: 4,
      top: 8,
      itemWidth: 10,
      itemHeight: 120,
      textStyle: { color: theme.textSoft, fontSize: 11 },
      text: [formatLevel(high, measure), formatLevel(low, measure)],
      inRange: { color: theme.dark ? ['#16263f', '#2c5aa8', '#f0a35a'] : ['#e8effc', '#5b84dd', '#b45309'] },
    },
    series: [
      {
        type: 'heatmap',
        data: cells.map((cell, index) => [indices.indexOf(cell.layer), modules.indexOf(cell.module), levels[index] ?? 0]),
        itemStyle: { borderColor: theme.surface, borderWidth: 2, borderRadius: 3 },
      },
    ],
  };
}

function formatLevel(level: number, measure: LayerMeasure): string {
  return formatScientific(measure === 'outputErrorVsRtn' ? level : 10 ** level);
}
