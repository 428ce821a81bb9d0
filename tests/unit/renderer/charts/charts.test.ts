import { describe, expect, it } from 'vitest';
import { accuracySizeOption } from '../../../../src-renderer/charts/accuracy-size.ts';
import { benchmarkBarsOption } from '../../../../src-renderer/charts/benchmark-bars.ts';
import { layerErrorsOption, splitLayerName } from '../../../../src-renderer/charts/layer-errors.ts';
import { groupMetrics, isShare, metricCurveOption, metricTitle } from '../../../../src-renderer/charts/metric-curve.ts';
import { row, theme } from '../fixtures.ts';

const accuracy = { sums: 0.9, chains: 0.5 };
const rows = [
  row('baseline', { isBaseline: true, method: 'none', scheme: 'none', bitsPerWeight: 16, accuracy }),
  row('GPTQ W4G128', { bitsPerWeight: 4.16, sizeBytes: 530_000, accuracy }),
  row('GPTQ W2G32', { bitsPerWeight: 2.56, sizeBytes: 370_000, accuracy: { sums: 0.8, chains: 0.4 } }),
  row('RTN W2G32', { bitsPerWeight: 2.56, sizeBytes: 370_000, accuracy: { sums: 0.2, chains: 0.1 } }),
  row('RTN W3G128', { status: 'running', bitsPerWeight: 3.15, average: null, accuracy: { sums: 0.7 } }),
];
type Series = { type: string; name: string; data: unknown[] };
const seriesOf = (option: unknown) => (option as { series: Series[] }).series;

describe('accuracy against size', () => {
  it('draws one line per method, sorted by size, with its intervals, and the baseline as a level', () => {
    const option = accuracySizeOption(rows, theme, { x: 'bits', benchmark: null });
    const series = seriesOf(option);
    expect(series.map(({ type, name }) => `${type} ${name}`)).toEqual([
      'line GPTQ',
      'custom GPTQ',
      'line RTN',
      'custom RTN',
      expect.stringContaining('line Baseline 70.0'),
    ]);
    const points = series[0]!.data as { value: number[]; name: string }[];
    expect(points.map((point) => point.name)).toEqual(['GPTQ W2G32', 'GPTQ W4G128']);
    expect(points[0]!.value[0]).toBe(2.56);
    expect(points[0]!.value[1]).toBeCloseTo(0.6, 9);
    expect((series[1]!.data as number[][])[0]!.map((value) => Number(value.toFixed(6)))).toEqual([2.56, 0.58, 0.62]);
  });

  it('takes runs that lack the average when one benchmark is asked for', () => {
    const rtn = seriesOf(accuracySizeOption(rows, theme, { x: 'size', benchmark: 'sums' })).find((series) => series.name === 'RTN')!;
    expect((rtn.data as { name: string }[]).map((point) => point.name).sort()).toEqual(['RTN W2G32', 'RTN W3G128']);
  });

  it('is nothing without a finished variant', () => {
    expect(accuracySizeOption(rows.slice(0, 1), theme, { x: 'bits', benchmark: null })).toBeNull();
  });
});

describe('accuracy by benchmark', () => {
  it('has a bar per run and benchmark, and an interval for each result there is', () => {
    const series = seriesOf(benchmarkBarsOption(rows, ['sums', 'chains'], theme));
    const bars = series.filter((item) => item.type === 'bar');
    expect(bars.map((item) => item.data)).toEqual([
      [0.9, 0.5],
      [0.9, 0.5],
      [0.8, 0.4],
      [0.2, 0.1],
      [0.7, null],
    ]);
    expect(series.filter((item) => item.type === 'custom').map((item) => item.data.length)).toEqual([2, 2, 2, 2, 1]);
    expect(benchmarkBarsOption([row('GPTQ W4')], ['sums'], theme)).toBeNull();
  });
});

describe('metric curves', () => {
  const points = [
    { step: 1, value: 0.5 },
    { step: 2, value: 0.75 },
  ];
  it('puts members of a family into one frame per stage', () => {
    const groups = groupMetrics([
      { stage: 0, name: 'weight-error', points },
      { stage: 1, name: 'accuracy/sums', points },
      { stage: 1, name: 'accuracy/chains', points },
    ]);
    expect(groups.map(({ stage, family, series }) => [stage, family, series.length])).toEqual([
      [0, 'weight-error', 1],
      [1, 'accuracy', 2],
    ]);
    const option = metricCurveOption('accuracy', groups[1]!.series, theme);
    expect(seriesOf(option).map(({ name }) => name)).toEqual(['sums', 'chains']);
    expect(option.yAxis).toMatchObject({ min: 0, max: 1 });
  });

  it('knows shares and writes titles', () => {
    expect([isShare('accuracy'), isShare('tokens-per-second')]).toEqual([true, false]);
    expect(metricTitle('tokens-per-second')).toBe('Tokens per second');
  });
});

describe('layer errors', () => {
  const layers = [
    { name: 'model.layers.0.self_attn.q_proj', weightError: 1e-4, outputError: 1e-3, outputErrorVsRtn: 0.5 },
    { name: 'model.layers.1.mlp.down_proj', weightError: 1e-2, outputError: null, outputErrorVsRtn: null },
  ];
  it('places layers across and modules down, by the logarithm of the error', () => {
    expect(splitLayerName('model.layers.12.mlp.up_proj')).toEqual({ layer: 12, module: 'up_proj' });
    const data = seriesOf(layerErrorsOption(layers, 'weightError', theme))[0]!.data;
    expect(data).toEqual([
      [0, 0, -4],
      [1, 1, -2],
    ]);
  });

  it('leaves out layers without the measure, and is nothing when none has it', () => {
    expect(seriesOf(layerErrorsOption(layers, 'outputErrorVsRtn', theme))[0]!.data).toEqual([[0, 0, 0.5]]);
    expect(layerErrorsOption([layers[1]!], 'outputError', theme)).toBeNull();
  });
});
