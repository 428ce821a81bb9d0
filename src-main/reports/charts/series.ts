/**
 * How a run is drawn in every chart: one colour and one marker shape per method, so that colour is never the only difference. Series that are
 * trained, or whose names add something to their method, are drawn hollow, in a colour that no method of the chart has while there are any left.
 */
import { type ComparisonRow, isTrained, methodsTitle, quantizerOf, seriesName } from '#contract/comparison.ts';
import { quantizationMethods } from '#contract/recipe.ts';
import { type Markup, markup } from '../markup.ts';
import { px } from './scale.ts';

export const baselineSeries = 'baseline';

/** CSS classes of each series in order of appearance, the baseline first: `series-<n>`, and `hollow` for additions. */
export function seriesClasses(rows: readonly ComparisonRow[]): Map<string, string> {
  const variants = rows.filter((row) => !row.isBaseline);
  const methods = new Map(variants.map((row) => [seriesName(row), row.method]));
  const used = new Set([...methods].filter(([name, method]) => isPlainSeries(name, method)).map(([, method]) => colourOf(method)));
  const spare = quantizationMethods.map((_, index) => index + 1).filter((colour) => !used.has(colour));
  const classes = new Map([[baselineSeries, 'series-0']]);
  for (const [name, method] of methods) {
    const isPlain = isPlainSeries(name, method);
    const colour =
      isPlain || (!used.has(colourOf(method)) && spare.includes(colourOf(method))) ? colourOf(method) : (spare[0] ?? colourOf(method));
    if (!isPlain && spare.includes(colour)) spare.splice(spare.indexOf(colour), 1);
    classes.set(name, isPlain ? `series-${colour}` : `series-${colour} hollow`);
  }
  return classes;
}

/** A method alone: neither does its name add something, nor is it trained afterwards. */
function isPlainSeries(name: string, method: string): boolean {
  return name === methodsTitle(method) && !isTrained(method);
}

/** 1 … 7; several methods in a row count as the last that quantizes. */
function colourOf(method: string): number {
  return 1 + Math.max(0, quantizationMethods.indexOf(quantizerOf(method) as (typeof quantizationMethods)[number]));
}

export function seriesOf(row: ComparisonRow): string {
  return row.isBaseline ? baselineSeries : seriesName(row);
}

type Point = readonly [x: number, y: number];
const polygon = (corners: number, turn: number, stretch = 1): Point[] =>
  Array.from({ length: corners }, (_, corner) => {
    const angle = turn + (2 * Math.PI * corner) / corners;
    return [stretch * Math.sin(angle), -stretch * Math.cos(angle)];
  });
const cross: Point[] = [
  [-0.35, -1],
  [0.35, -1],
  [0.35, -0.35],
  [1, -0.35],
  [1, 0.35],
  [0.35, 0.35],
  [0.35, 1],
  [-0.35, 1],
  [-0.35, 0.35],
  [-1, 0.35],
  [-1, -0.35],
  [-0.35, -0.35],
];
/** Corners at unit size: diamond for the baseline, then (after the circle) square, triangle, upturned triangle, hexagon, cross, slim diamond. */
const shapes: Record<number, Point[]> = {
  0: polygon(4, 0, 1.1),
  2: polygon(4, Math.PI / 4, 1.2),
  3: polygon(3, 0, 1.15),
  4: polygon(3, Math.PI, 1.15),
  5: cross,
  6: polygon(6, 0, 1.05),
  7: polygon(4, 0, 1.15).map(([x, y]): Point => [0.62 * x, 1.2 * y]),
};

/** A marker centred at (x, y). */
export function marker(seriesClass: string, x: number, y: number, size = 5): Markup {
  const number = Number(/^series-(\d+)/.exec(seriesClass)?.[1] ?? 0);
  const shape = shapes[number];
  if (!shape) return markup`<circle class="marker ${seriesClass}" cx="${px(x)}" cy="${px(y)}" r="${px(size - 0.5)}"/>`;
  const points = shape.flatMap(([dx, dy]) => [x + size * dx, y + size * dy]);
  return markup`<polygon class="marker ${seriesClass}" points="${points.map(px).join(' ')}"/>`;
}
