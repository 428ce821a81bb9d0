/**
 * How a run is drawn in every chart: one colour and one marker shape per series, so that colour is never the only difference.
 */
import { type ComparisonRow, seriesName } from '#contract/comparison.ts';
import { type Markup, markup } from '../markup.ts';
import { px } from './scale.ts';

/** Number of colours in the style sheet (`series-1` …); further series repeat them. */
const colours = 6;

/** Class of each series in order of appearance; the baseline has its own. */
export function seriesClasses(rows: readonly ComparisonRow[]): Map<string, string> {
  const series = [...new Set(rows.filter((row) => !row.isBaseline).map(seriesName))];
  return new Map([
    [baselineSeries, 'series-0'],
    ...series.map((name, index): [string, string] => [name, `series-${(index % colours) + 1}`]),
  ]);
}

export const baselineSeries = 'baseline';

export function seriesOf(row: ComparisonRow): string {
  return row.isBaseline ? baselineSeries : seriesName(row);
}

/** A marker centred at (x, y): diamond for the baseline, then circle, square, triangle, … */
export function marker(seriesClass: string, x: number, y: number, size = 5): Markup {
  const shape = Number(seriesClass.slice('series-'.length)) % 4;
  if (shape === 1) return markup`<circle class="marker ${seriesClass}" cx="${px(x)}" cy="${px(y)}" r="${px(size - 0.5)}"/>`;
  if (shape === 2) {
    return markup`<rect class="marker ${seriesClass}" x="${px(x - size + 0.7)}" y="${px(y - size + 0.7)}" width="${px(2 * size - 1.4)}" height="${px(2 * size - 1.4)}"/>`;
  }
  const points =
    shape === 3
      ? [x, y - size, x + size, y + size - 1, x - size, y + size - 1]
      : [x, y - size - 0.5, x + size + 0.5, y, x, y + size + 0.5, x - size - 0.5, y];
  return markup`<polygon class="marker ${seriesClass}" points="${points.map(px).join(' ')}"/>`;
}
