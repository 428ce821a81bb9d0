/**
 * One benchmark: every run's accuracy with its interval, one line each, against the baseline's band.
 */
import type { BenchmarkResult, ComparisonRow } from '#contract/comparison.ts';
import { percentInterval } from '../format.ts';
import { type Markup, markup } from '../markup.ts';
import { percentScale, px, type Scale } from './scale.ts';
import { marker, seriesClasses, seriesOf } from './series.ts';

const width = 470;
const plot = { left: 148, right: width - 16, top: 12 };
const labelLength = 21;

/** Rows of one model; null when none has samples of this benchmark. */
export function benchmarkChart(rows: readonly ComparisonRow[], benchmark: string): Markup | null {
  const results = rows.flatMap((row) => {
    const result = row.benchmarks.find((candidate) => candidate.benchmark === benchmark);
    return result ? [{ row, result }] : [];
  });
  if (results.length === 0) return null;
  const rowHeight = results.length > 24 ? 17 : 23;
  const bottom = plot.top + results.length * rowHeight + 4;
  const classes = seriesClasses(rows);
  const x = percentScale([0, 1], { from: plot.left, to: plot.right });
  const baseline = results.find(({ row }) => row.isBaseline)?.result;
  const title = `Accuracy on ${benchmark} by run`;
  return markup`<svg class="chart" viewBox="0 0 ${width} ${bottom + 26}" role="img" aria-label="${title}" xmlns="http://www.w3.org/2000/svg">
<title>${title}</title>
${baseline && baselineBand(baseline, x, bottom)}
${x.ticks.map(
  (tick) => markup`<line class="grid" x1="${px(x.at(tick))}" x2="${px(x.at(tick))}" y1="${plot.top}" y2="${bottom}"/>
<text class="tick" x="${px(x.at(tick))}" y="${bottom + 17}" text-anchor="middle">${(tick * 100).toFixed(0)}</text>`,
)}
${results.map(({ row, result }, index) => drawRow(row, result, plot.top + (index + 0.5) * rowHeight, x, classes))}
</svg>`;
}

function baselineBand(baseline: BenchmarkResult, x: Scale, bottom: number): Markup {
  const { value, low, high } = baseline.accuracy;
  return markup`<rect class="band" x="${px(x.at(low))}" width="${px(x.at(high) - x.at(low))}" y="${plot.top}" height="${bottom - plot.top}"/>
<line class="baseline" x1="${px(x.at(value))}" x2="${px(x.at(value))}" y1="${plot.top}" y2="${bottom}"/>`;
}

function drawRow(row: ComparisonRow, result: BenchmarkResult, y: number, x: Scale, classes: Map<string, string>): Markup {
  const seriesClass = classes.get(seriesOf(row))!;
  const { value, low, high } = result.accuracy;
  return markup`<g><title>${`${row.name}: ${percentInterval(result.accuracy)} %`}</title>
<text class="row-label" x="${plot.left - 12}" y="${px(y + 4)}" text-anchor="end">${shorten(row.name)}</text>
<line class="whisker ${seriesClass}" x1="${px(x.at(low))}" x2="${px(x.at(high))}" y1="${px(y)}" y2="${px(y)}"/>
${marker(seriesClass, x.at(value), y, 4.2)}</g>`;
}

function shorten(text: string): string {
  const characters = [...text];
  return characters.length > labelLength ? `${characters.slice(0, labelLength - 1).join('')}…` : text;
}
