/**
 * Accuracy against size: one point with its interval per run, sizes on a logarithmic axis, the baseline as a line with its band. With many
 * runs, one panel per series shows it before the others.
 */
import type { ComparisonRow } from '#contract/comparison.ts';
import { bytes, percentInterval } from '../format.ts';
import { type Markup, markup } from '../markup.ts';
import { assignTiers, logScale, percentScale, px, type Scale } from './scale.ts';
import { baselineSeries, marker, seriesClasses, seriesOf } from './series.ts';

/** More variants than this are drawn in panels. */
const maxTogether = 20;
const maxTiers = 6;
const tierHeight = 15;
/** Widest spread of the series that share one size. */
const maxSpread = 40;

type Point = ComparisonRow & { average: NonNullable<ComparisonRow['average']>; sizeBytes: number };

interface Frame {
  width: number;
  height: number;
  left: number;
  right: number;
  top: number;
  bottom: number;
  x: Scale;
  y: Scale;
  classes: Map<string, string>;
}

/** Rows of one model; null when no run has both an average and a size. */
export function sizeChart(rows: readonly ComparisonRow[], title: string): Markup | null {
  const points = rows.filter((row): row is Point => row.average !== null && row.sizeBytes !== null);
  if (points.length === 0) return null;
  const classes = seriesClasses(points);
  if (points.length <= maxTogether) return wholeChart(points, title, classes);
  const series = [...classes.keys()].filter((name) => name !== baselineSeries);
  return markup`<div class="panels">${series.map((name) => panel(points, `${title}: ${name}`, name, classes))}</div>`;
}

function wholeChart(points: readonly Point[], title: string, classes: Map<string, string>): Markup {
  const [width, left] = [960, 58];
  const legend = legendEntries(classes, left, width);
  const legendHeight = 24 * (1 + Math.max(...legend.map((entry) => entry.line)));
  const right = width - 20;
  const x = sizeScale(points, left, right);
  const labels = schemeLabels(points, x);
  const tiers = neededTiers(labels);
  const top = legendHeight + 20 + tierHeight * tiers;
  const bottom = top + 300;
  const frame: Frame = { width, height: bottom + 54, left, right, top, bottom, x, y: accuracyScale(points, top, bottom), classes };
  return picture(
    frame,
    title,
    markup`${axes(frame)}${schemeGuides(labels, tiers, frame)}
${[...classes.keys()].map((series) => trend(series, points, frame))}
${points.map((point) => drawPoint(point, frame))}
${legend.map(({ text, seriesClass, at, line }) => markup`${marker(seriesClass, at, 14 + 24 * line)}<text class="legend" x="${at + 10}" y="${18 + 24 * line}">${text}</text>`)}`,
    points,
  );
}

/** One series with its intervals and schemes, the others as faint points. */
function panel(points: readonly Point[], title: string, series: string, classes: Map<string, string>): Markup {
  const [width, left, top, bottom] = [470, 46, 30, 236];
  const right = width - 12;
  const variants = points.filter((point) => !point.isBaseline);
  const x = sizeScale(variants, left, right);
  const frame: Frame = { width, height: bottom + 46, left, right, top, bottom, x, y: accuracyScale(points, top, bottom), classes };
  const own = variants.filter((point) => seriesOf(point) === series).sort((a, b) => a.sizeBytes - b.sizeBytes);
  const others = variants.filter((point) => seriesOf(point) !== series);
  return picture(
    frame,
    title,
    markup`<text class="panel-title" x="${left}" y="16">${series}</text>${axes(frame)}
${others.map((point) => markup`<circle class="faint" cx="${px(x.at(point.sizeBytes))}" cy="${px(frame.y.at(point.average.value))}" r="2.4"/>`)}
${trend(series, points, frame, false)}
${own.map((point) => drawPoint(point, frame, false))}
${placeLabels(own, frame).map(({ text, x: at, y }) => markup`<text class="point-label" x="${px(at)}" y="${px(y)}" text-anchor="middle">${text}</text>`)}`,
    points,
  );
}

/** Below or above each whisker, where a label touches neither another nor the frame; without room the tooltip alone names the point. */
function placeLabels(points: readonly Point[], { x, y, left, right, top, bottom }: Frame) {
  const placed: { text: string; x: number; y: number; half: number }[] = [];
  for (const point of points) {
    const half = (point.scheme.length * 7) / 2;
    const at = Math.min(right - half, Math.max(left + half, x.at(point.sizeBytes)));
    const places = [y.at(point.average.low) + 14, y.at(point.average.high) - 6, y.at(point.average.low) + 27];
    const free = places.find(
      (place) =>
        place > top + 4 &&
        place < bottom - 2 &&
        placed.every((other) => Math.abs(other.x - at) > other.half + half + 4 || Math.abs(other.y - place) > 12),
    );
    if (free !== undefined) placed.push({ text: point.scheme, x: at, y: free, half });
  }
  return placed;
}

function picture(frame: Frame, title: string, content: Markup, points: readonly Point[]): Markup {
  const baseline = points.find((point) => point.isBaseline);
  return markup`<svg class="chart" viewBox="0 0 ${frame.width} ${frame.height}" role="img" aria-label="${title}" xmlns="http://www.w3.org/2000/svg">
<title>${title}</title>
${baseline && baselineBand(baseline, frame)}
${content}
</svg>`;
}

function sizeScale(points: readonly Point[], left: number, right: number): Scale {
  return logScale(
    points.map((point) => point.sizeBytes),
    { from: left + 10, to: right - 30 },
  );
}

function accuracyScale(points: readonly Point[], top: number, bottom: number): Scale {
  return percentScale(
    points.flatMap((point) => [point.average.low, point.average.high]),
    { from: bottom, to: top },
  );
}

function axes({ left, right, top, bottom, height, x, y }: Frame): Markup {
  return markup`${y.ticks.map(
    (tick) => markup`<line class="grid" x1="${left}" x2="${right}" y1="${px(y.at(tick))}" y2="${px(y.at(tick))}"/>
<text class="tick" x="${left - 8}" y="${px(y.at(tick) + 4)}" text-anchor="end">${(tick * 100).toFixed(0)}</text>`,
  )}
<line class="axis" x1="${left}" x2="${right}" y1="${bottom}" y2="${bottom}"/>
${x.ticks.map(
  (tick) => markup`<line class="axis" x1="${px(x.at(tick))}" x2="${px(x.at(tick))}" y1="${bottom}" y2="${bottom + 5}"/>
<text class="tick" x="${px(x.at(tick))}" y="${bottom + 20}" text-anchor="middle">${bytes(Math.round(tick))}</text>`,
)}
<text class="label" x="${(left + right) / 2}" y="${height - 10}" text-anchor="middle">Checkpoint size (logarithmic)</text>
<text class="label" x="14" y="${(top + bottom) / 2}" text-anchor="middle" transform="rotate(-90 14 ${(top + bottom) / 2})">Average accuracy, %</text>`;
}

interface SchemeLabel {
  x: number;
  text: string;
}

/** One per scheme and place; several methods of a scheme share it. */
function schemeLabels(points: readonly Point[], x: Scale): SchemeLabel[] {
  const labels: SchemeLabel[] = [];
  for (const point of points) {
    const text = point.isBaseline ? 'unquantized' : point.scheme;
    const at = x.at(point.sizeBytes);
    if (!labels.some((label) => label.text === text && Math.abs(label.x - at) < 12)) labels.push({ x: at, text });
  }
  return labels;
}

function neededTiers(labels: readonly SchemeLabel[]): number {
  for (let tiers = 1; tiers < maxTiers; tiers++) {
    const ends = assignTiers(labels, 7, tiers);
    const used = assignTiers(labels, 7, tiers + 1);
    if (ends.every((tier, index) => tier === used[index])) return tiers;
  }
  return maxTiers;
}

/** A vertical line per scheme with its name on top. */
function schemeGuides(labels: readonly SchemeLabel[], tierCount: number, { top, bottom }: Frame): Markup {
  const tiers = assignTiers(labels, 7, tierCount);
  return markup`${labels.map((label, index) => {
    const at = top - 8 - tiers[index]! * tierHeight;
    return markup`<line class="guide" x1="${px(label.x)}" x2="${px(label.x)}" y1="${at + 3}" y2="${bottom}"/>
<text class="point-label" x="${px(label.x)}" y="${at}" text-anchor="middle">${label.text}</text>`;
  })}`;
}

function baselineBand(baseline: Point, { left, right, y }: Frame): Markup {
  const { value, low, high } = baseline.average;
  return markup`<rect class="band" x="${left}" width="${right - left}" y="${px(y.at(high))}" height="${px(y.at(low) - y.at(high))}"/>
<line class="baseline" x1="${left}" x2="${right}" y1="${px(y.at(value))}" y2="${px(y.at(value))}"/>`;
}

function drawPoint(point: Point, frame: Frame, spread = true): Markup {
  const at = spread ? pointX(point, frame) : frame.x.at(point.sizeBytes);
  const { y } = frame;
  const seriesClass = frame.classes.get(seriesOf(point))!;
  const { low, high, value } = point.average;
  const tooltip = `${point.name}: ${percentInterval(point.average)} %, ${bytes(point.sizeBytes)}`;
  return markup`<g><title>${tooltip}</title>
<line class="whisker ${seriesClass}" x1="${px(at)}" x2="${px(at)}" y1="${px(y.at(low))}" y2="${px(y.at(high))}"/>
<line class="whisker ${seriesClass}" x1="${px(at - 3)}" x2="${px(at + 3)}" y1="${px(y.at(low))}" y2="${px(y.at(low))}"/>
<line class="whisker ${seriesClass}" x1="${px(at - 3)}" x2="${px(at + 3)}" y1="${px(y.at(high))}" y2="${px(y.at(high))}"/>
${marker(seriesClass, at, y.at(value))}</g>`;
}

/** Methods of one scheme have one size; they are drawn side by side. */
function pointX(point: Point, { x, classes }: Frame): number {
  const series = [...classes.keys()].filter((name) => name !== baselineSeries);
  const step = Math.min(9, maxSpread / Math.max(1, series.length - 1));
  const offset = point.isBaseline ? 0 : (series.indexOf(seriesOf(point)) - (series.length - 1) / 2) * step;
  return x.at(point.sizeBytes) + offset;
}

/** A thin line through a series' points, smallest first. */
function trend(series: string, points: readonly Point[], frame: Frame, spread = true): Markup | null {
  const own = points.filter((point) => seriesOf(point) === series).sort((a, b) => a.sizeBytes - b.sizeBytes);
  if (own.length < 2) return null;
  const at = (point: Point) => (spread ? pointX(point, frame) : frame.x.at(point.sizeBytes));
  const path = own.map((point) => `${px(at(point))},${px(frame.y.at(point.average.value))}`).join(' ');
  return markup`<polyline class="trend whisker ${frame.classes.get(series)!}" points="${path}"/>`;
}

/** Wraps at the right edge. */
function legendEntries(classes: Map<string, string>, left: number, width: number) {
  let [at, line] = [left + 6, 0];
  return [...classes].map(([text, seriesClass]) => {
    const length = 26 + text.length * 8;
    if (at + length > width - 10 && at > left + 6) [at, line] = [left + 6, line + 1];
    const entry = { text, seriesClass, at, line };
    at += length;
    return entry;
  });
}
