/**
 * Accuracy against size: one point with its interval per run, sizes on a logarithmic axis, the baseline as a line with its band.
 */
import type { ComparisonRow } from '#contract/comparison.ts';
import { bytes, percentInterval } from '../format.ts';
import { type Markup, markup } from '../markup.ts';
import { assignTiers, logScale, percentScale, px, type Scale } from './scale.ts';
import { baselineSeries, marker, seriesClasses, seriesOf } from './series.ts';

const width = 960;
const height = 430;
const plot = { left: 58, right: width - 20, top: 74, bottom: height - 54 };
const dodge = 9;

type Point = ComparisonRow & { average: NonNullable<ComparisonRow['average']>; sizeBytes: number };

/** Rows of one model; null when no run has both an average and a size. */
export function sizeChart(rows: readonly ComparisonRow[], title: string): Markup | null {
  const points = rows.filter((row): row is Point => row.average !== null && row.sizeBytes !== null);
  if (points.length === 0) return null;
  const x = logScale(
    points.map((point) => point.sizeBytes),
    { from: plot.left + 10, to: plot.right - 30 },
  );
  const y = percentScale(
    points.flatMap((point) => [point.average.low, point.average.high]),
    { from: plot.bottom, to: plot.top },
  );
  const classes = seriesClasses(rows);
  const baseline = points.find((point) => point.isBaseline);
  return markup`<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}" xmlns="http://www.w3.org/2000/svg">
<title>${title}</title>
${baseline && baselineBand(baseline, y)}
${axes(x, y)}
${schemeGuides(points, x)}
${[...classes.keys()].map((series) => trend(series, points, x, y, classes))}
${points.map((point) => drawPoint(point, x, y, classes))}
${legend(classes)}
</svg>`;
}

function axes(x: Scale, y: Scale): Markup {
  return markup`${y.ticks.map(
    (tick) => markup`<line class="grid" x1="${plot.left}" x2="${plot.right}" y1="${px(y.at(tick))}" y2="${px(y.at(tick))}"/>
<text class="tick" x="${plot.left - 8}" y="${px(y.at(tick) + 4)}" text-anchor="end">${(tick * 100).toFixed(0)}</text>`,
  )}
<line class="axis" x1="${plot.left}" x2="${plot.right}" y1="${plot.bottom}" y2="${plot.bottom}"/>
${x.ticks.map(
  (tick) => markup`<line class="axis" x1="${px(x.at(tick))}" x2="${px(x.at(tick))}" y1="${plot.bottom}" y2="${plot.bottom + 5}"/>
<text class="tick" x="${px(x.at(tick))}" y="${plot.bottom + 20}" text-anchor="middle">${bytes(Math.round(tick))}</text>`,
)}
<text class="label" x="${(plot.left + plot.right) / 2}" y="${height - 10}" text-anchor="middle">Checkpoint size (logarithmic)</text>
<text class="label" x="16" y="${(plot.top + plot.bottom) / 2}" text-anchor="middle" transform="rotate(-90 16 ${(plot.top + plot.bottom) / 2})">Average accuracy, %</text>`;
}

/** A vertical line per scheme with its name on top; several methods of a scheme share it. */
function schemeGuides(points: readonly Point[], x: Scale): Markup {
  const labels = new Map<string, { x: number; text: string }>();
  for (const point of points) {
    const text = point.isBaseline ? 'unquantized' : point.scheme;
    const at = x.at(point.sizeBytes);
    if (!labels.has(`${text} ${Math.round(at)}`)) labels.set(`${text} ${Math.round(at)}`, { x: at, text });
  }
  const list = [...labels.values()];
  const tiers = assignTiers(list, 7, 3);
  return markup`${list.map((label, index) => {
    const top = plot.top - 8 - tiers[index]! * 15;
    return markup`<line class="guide" x1="${px(label.x)}" x2="${px(label.x)}" y1="${top + 3}" y2="${plot.bottom}"/>
<text class="point-label" x="${px(label.x)}" y="${top}" text-anchor="middle">${label.text}</text>`;
  })}`;
}

function baselineBand(baseline: Point, y: Scale): Markup {
  const { value, low, high } = baseline.average;
  return markup`<rect class="band" x="${plot.left}" width="${plot.right - plot.left}" y="${px(y.at(high))}" height="${px(y.at(low) - y.at(high))}"/>
<line class="baseline" x1="${plot.left}" x2="${plot.right}" y1="${px(y.at(value))}" y2="${px(y.at(value))}"/>`;
}

function drawPoint(point: Point, x: Scale, y: Scale, classes: Map<string, string>): Markup {
  const at = pointX(point, x, classes);
  const seriesClass = classes.get(seriesOf(point))!;
  const { low, high, value } = point.average;
  const tooltip = `${point.name}: ${percentInterval(point.average)} %, ${bytes(point.sizeBytes)}`;
  return markup`<g><title>${tooltip}</title>
<line class="whisker ${seriesClass}" x1="${px(at)}" x2="${px(at)}" y1="${px(y.at(low))}" y2="${px(y.at(high))}"/>
<line class="whisker ${seriesClass}" x1="${px(at - 3)}" x2="${px(at + 3)}" y1="${px(y.at(low))}" y2="${px(y.at(low))}"/>
<line class="whisker ${seriesClass}" x1="${px(at - 3)}" x2="${px(at + 3)}" y1="${px(y.at(high))}" y2="${px(y.at(high))}"/>
${marker(seriesClass, at, y.at(value))}</g>`;
}

/** Methods of one scheme have one size; they are drawn side by side. */
function pointX(point: Point, x: Scale, classes: Map<string, string>): number {
  const methods = [...classes.keys()].filter((series) => series !== baselineSeries);
  const offset = point.isBaseline ? 0 : (methods.indexOf(point.method) - (methods.length - 1) / 2) * dodge;
  return x.at(point.sizeBytes) + offset;
}

/** A thin line through a method's points, smallest first. */
function trend(series: string, points: readonly Point[], x: Scale, y: Scale, classes: Map<string, string>): Markup | null {
  const own = points.filter((point) => seriesOf(point) === series).sort((a, b) => a.sizeBytes - b.sizeBytes);
  if (own.length < 2) return null;
  const path = own.map((point) => `${px(pointX(point, x, classes))},${px(y.at(point.average.value))}`).join(' ');
  return markup`<polyline class="trend whisker ${classes.get(series)!}" points="${path}"/>`;
}

function legend(classes: Map<string, string>): Markup {
  const entries = [...classes].map(([series, seriesClass]) => ({
    text: series,
    seriesClass,
  }));
  let x = plot.left + 6;
  return markup`${entries.map(({ text, seriesClass }) => {
    const at = x;
    x += 26 + text.length * 8;
    return markup`${marker(seriesClass, at, 14)}<text class="legend" x="${at + 10}" y="18">${text}</text>`;
  })}`;
}
