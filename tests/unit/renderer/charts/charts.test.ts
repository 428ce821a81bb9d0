import { describe, expect, it } from 'vitest';
import { methodsTitle } from '#contract/comparison.ts';
import { quantizationMethods } from '#contract/recipe.ts';
import { resultTones } from '#contract/sweep.ts';
import { accuracyPanelsOption } from '../../../../src-renderer/charts/accuracy-panels.ts';
import { accuracyProgressOption, hasIntervals } from '../../../../src-renderer/charts/accuracy-progress.ts';
import { accuracySizeOption, pointStyles, toPoint } from '../../../../src-renderer/charts/accuracy-size.ts';
import { benchmarkBarsOption } from '../../../../src-renderer/charts/benchmark-bars.ts';
import { benchmarkHeatOption } from '../../../../src-renderer/charts/benchmark-heat.ts';
import { seriesStyles } from '../../../../src-renderer/charts/chart-theme.ts';
import { layerErrorsOption, splitLayerName } from '../../../../src-renderer/charts/layer-errors.ts';
import { lengthBoxesOption } from '../../../../src-renderer/charts/length-boxes.ts';
import { groupMetrics, isShare, metricCurveOption, metricTitle, trainingRank } from '../../../../src-renderer/charts/metric-curve.ts';
import { powerCurveOption } from '../../../../src-renderer/charts/power-curve.ts';
import { verdictBarsOption } from '../../../../src-renderer/charts/verdict-bars.ts';
import { drop, row, theme } from '../fixtures.ts';

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

describe('charts of many variants', () => {
  const schemes = ['W8', 'W4', 'W3', 'W2'];
  const methods = ['RTN', 'GPTQ', 'AWQ', 'QuaRot', 'FlatQuant'];
  const wide = [
    row('baseline', { isBaseline: true, method: 'none', scheme: 'none', bitsPerWeight: 16, accuracy }),
    ...methods.flatMap((method, index) =>
      schemes.map((scheme, step) =>
        row(`${method} ${scheme}`, { bitsPerWeight: 8 - 2 * step, accuracy: { sums: 0.9 - index * 0.05, chains: 0.5 } }),
      ),
    ),
    row('NF4', { bitsPerWeight: 4.5, accuracy }),
    row('INT8', { bitsPerWeight: 8.1, accuracy }),
  ];

  it('gives every method a colour and a symbol of its own', () => {
    const styles = seriesStyles(
      quantizationMethods.map((method) => ({ name: methodsTitle(method), method })),
      theme,
    );
    expect(new Set([...styles.values()].map(({ color }) => color)).size).toBe(7);
    expect(new Set([...styles.values()].map(({ symbol }) => symbol)).size).toBe(7);
  });

  it('draws additions to a method hollow, in colours that no method of the chart has', () => {
    const series = [
      { name: 'GPTQ', method: 'gptq' },
      { name: 'GPTQ, general text', method: 'gptq' },
      { name: 'RTN', method: 'rtn' },
    ];
    const styles = seriesStyles(series, theme);
    const colors = [...styles.values()].map(({ color }) => color);
    expect(new Set(colors).size).toBe(3);
    expect([...styles.values()].map(({ isAddition }) => isAddition)).toEqual([false, true, false]);
  });

  it('has a panel per series with its own points, and the others behind', () => {
    const { option, height } = accuracyPanelsOption(wide, theme, { x: 'bits', benchmark: null, columns: 3 })!;
    expect((option.grid as unknown[]).length).toBe(7);
    expect(height).toBe(3 * 214);
    const series = seriesOf(option) as (Series & { xAxisIndex: number })[];
    for (const [index, name] of [...methods, 'NF4', 'INT8'].entries()) {
      const own = series.filter((item) => item.xAxisIndex === index);
      const count = methods.includes(name) ? 4 : 1;
      expect(own.map((item) => [item.type, item.name, item.data.length])).toEqual([
        ['line', 'others', 22 - count],
        ['line', name, count],
        ['custom', name, count],
      ]);
    }
    expect(accuracyPanelsOption(wide.slice(0, 1), theme, { x: 'bits', benchmark: null, columns: 3 })).toBeNull();
  });

  it('has a cell per run and benchmark, coloured by its verdict', () => {
    const worse = row('GPTQ W2', { accuracy: { sums: 0.3 } });
    worse.benchmarks[0]!.versusBaseline = {
      ...drop(-0.6, 'worse'),
      test: { pValue: 0.01, midP: 0.01, exact: true },
      bootstrap: null,
      disagreement: 0.4,
    };
    const { option } = benchmarkHeatOption([...wide, worse], ['sums', 'chains'], theme)!;
    const cells = seriesOf(option)[0]!.data as { value: number[]; label: { formatter: string } }[];
    expect(cells).toHaveLength(2 * wide.length + 1);
    expect(cells.at(-1)).toEqual({ value: [0, wide.length, resultTones.indexOf('loss-4')], label: { formatter: '30.0' } });
    expect(cells[0]!.value[2]).toBe(resultTones.indexOf('even'));
    expect(benchmarkHeatOption([row('GPTQ W4')], ['sums'], theme)).toBeNull();
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

  it('draws a running accuracy in its interval', () => {
    const points = (...values: number[]) => values.map((value, index) => ({ step: 20 * (index + 1), value }));
    const series = ['sums', 'chains'].flatMap((benchmark) => [
      { stage: 1, name: `accuracy/${benchmark}`, points: points(0.5, 0.6) },
      { stage: 1, name: `accuracy-high/${benchmark}`, points: points(0.9, 0.8) },
      { stage: 1, name: `accuracy-low/${benchmark}`, points: points(0.2, 0.4) },
    ]);
    const groups = groupMetrics(series);
    expect(groups.map(({ family }) => family)).toEqual(['accuracy']);
    expect([hasIntervals(series), hasIntervals(series.slice(0, 1))]).toEqual([true, false]);
    const option = accuracyProgressOption(groups[0]!.series, theme);
    const drawn = seriesOf(option);
    expect(drawn.map(({ name }) => name)).toEqual(['sums', 'sums', 'sums', 'chains', 'chains', 'chains']);
    const rounded = (data: unknown) => (data as number[][]).map((pair) => pair.map((value) => Number(value.toFixed(9))));
    expect(rounded(drawn[0]!.data)).toEqual([
      [20, 0.5],
      [40, 0.6],
    ]);
    // The lower limit, and the height from there to the upper one.
    expect(rounded(drawn[1]!.data)).toEqual([
      [20, 0.2],
      [40, 0.4],
    ]);
    expect(rounded(drawn[2]!.data)).toEqual([
      [20, 0.7],
      [40, 0.4],
    ]);
    const { formatter } = option.tooltip as { formatter(items: unknown): string };
    expect(formatter([{ value: [40, 0.6] }])).toBe('40 problems\nsums 60.0\u202f% [40.0, 80.0]\nchains 60.0\u202f% [40.0, 80.0]');
  });

  it('knows shares and writes titles', () => {
    expect([isShare('accuracy'), isShare('tokens-per-second')]).toEqual([true, false]);
    expect(metricTitle('tokens-per-second')).toBe('Tokens per second');
  });
});

describe('curves of training', () => {
  it('count steps, and stand in the order one looks at them', () => {
    const names = ['tokens-per-second', 'accuracy', 'clip-low', 'length-mean', 'reward-mean', 'entropy', 'gradient-norm', 'loss'];
    expect(names.toSorted((a, b) => trainingRank(a) - trainingRank(b))).toEqual([
      ...['loss', 'reward-mean', 'accuracy', 'entropy', 'length-mean', 'gradient-norm', 'tokens-per-second', 'clip-low'],
    ]);
    const series = [{ stage: 1, name: 'tokens-per-second', points: [{ step: 1, value: 900 }] }];
    const axis = (isTraining: boolean) =>
      (metricCurveOption('tokens-per-second', series, theme, { isTraining }).xAxis as { name: string }).name;
    expect([axis(true), axis(false)]).toEqual(['Steps', 'Completions']);
    const memory = metricCurveOption('memory-bytes', [{ stage: 1, name: 'memory-bytes', points: [] }], theme, { isTraining: true });
    expect((memory.yAxis as { axisLabel: { formatter(value: number): string } }).axisLabel.formatter(8.12e8)).toBe('812\u202fMB');
  });
});

describe('trained variants in charts', () => {
  const rows = [
    row('baseline', { isBaseline: true, method: 'none', scheme: 'none', accuracy: { a: 0.9 } }),
    row('GPTQ W2G32', { accuracy: { a: 0.5 } }),
    row('GPTQ W2G32 → KD QAT', { method: 'gptq → KD QAT', scheme: 'W2G32', accuracy: { a: 0.7 } }),
    row('SFT', { method: 'SFT', scheme: 'none', bitsPerWeight: 32, accuracy: { a: 0.8 } }),
  ];

  it('are drawn apart from the method they start from', () => {
    const styles = pointStyles(
      rows.slice(1).flatMap((item) => toPoint(item, { x: 'bits', benchmark: null })),
      theme,
    );
    expect([...styles.keys()]).toEqual(['GPTQ', 'GPTQ → KD QAT', 'SFT']);
    const [plain, trained, float] = [...styles.values()];
    expect(plain).toMatchObject({ color: theme.methods.gptq, isAddition: false });
    expect(trained!.isAddition && float!.isAddition).toBe(true);
    expect(new Set([plain!.color, trained!.color, float!.color]).size).toBe(3);
    const bars = benchmarkBarsOption(rows, ['a'], theme)!.series as { type: string; itemStyle?: { color: string } }[];
    expect(new Set(bars.filter(({ type }) => type === 'bar').map(({ itemStyle }) => itemStyle!.color)).size).toBe(4);
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

describe('how completions failed', () => {
  const failing = row('RTN W2G32', { accuracy });
  for (const [index, result] of failing.benchmarks.entries()) {
    result.verdicts = { correct: 1, incorrect: 2, unparsed: 0, truncated: 1 + index };
    result.failures = { ...result.failures, samples: 4 + index, length: { p5: 10, p25: 20, p50: 30, p75: 40, p95: 90, max: 99 } };
  }

  it('stacks shares that add up to one, of one benchmark or of all', () => {
    const together = verdictBarsOption([rows[0]!, failing], null, theme)!;
    const shares = seriesOf(together.option).map((series) => series.data[1]) as number[];
    expect(shares).toEqual([2 / 9, 4 / 9, 0, 3 / 9]);
    const one = verdictBarsOption([failing], 'chains', theme)!;
    expect(seriesOf(one.option).map((series) => series.data)).toEqual([[0.2], [0.4], [0], [0.4]]);
    expect(together.height).toBeGreaterThan(one.height);
    expect(verdictBarsOption([failing], 'unknown', theme)).toBeNull();
  });

  it('draws the quantiles of one benchmark as boxes', () => {
    const boxes = seriesOf(lengthBoxesOption([rows[0]!, failing], 'sums', theme)!.option)[0]!;
    expect(boxes.type).toBe('boxplot');
    expect((boxes.data[1] as { value: number[] }).value).toEqual([10, 20, 30, 40, 90]);
    expect(lengthBoxesOption([failing], 'unknown', theme)).toBeNull();
  });
});

describe('the chance of seeing a difference', () => {
  const resolution = {
    problems: 100,
    detectable: 0.04,
    requiredProblems: 400,
    curve: [0, 0.02, 0.04].map((difference) => ({ difference, power: 20 * difference })),
  };
  const run = {
    ...{ runId: 'r', run: 'GPTQ W2G32', seeds: 3, change: null, average: resolution },
    benchmarks: [{ ...resolution, benchmark: 'sums', disagreement: 0.2, detectable: 0.08 }],
  };

  it('is a line per benchmark and one for the average, in points, as far as they are known', () => {
    const option = powerCurveOption(run, { difference: 0.02, power: 0.8 }, theme);
    const series = seriesOf(option);
    expect(series.map(({ name }) => name)).toEqual(['sums', 'Average', 'Wanted']);
    expect(series[1]!.data).toEqual([
      [0, 0],
      [2, 0.4],
      [4, 0.8],
    ]);
    expect((option.xAxis as { max: number }).max).toBe(4);
    expect(seriesOf(powerCurveOption({ ...run, average: null }, { difference: 0.1, power: 0.8 }, theme))).toHaveLength(2);
  });
});
