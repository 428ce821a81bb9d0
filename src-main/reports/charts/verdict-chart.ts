/**
 * How completions ended, per run over all benchmarks: a bar of correct, incorrect, unparsed and truncated shares, and the mean length.
 */
import type { ComparisonRow } from '#contract/comparison.ts';
import type { Verdict } from '#contract/worker.ts';
import { percent } from '../format.ts';
import { type Markup, markup } from '../markup.ts';
import { px } from './scale.ts';

export const verdictOrder: readonly Verdict[] = ['correct', 'incorrect', 'unparsed', 'truncated'];

const width = 960;
const plot = { left: 210, right: width - 150, top: 40 };
const labelLength = 30;

export interface VerdictTotals {
  verdicts: Record<Verdict, number>;
  samples: number;
  meanTokens: number;
}

/** Over all benchmarks of a run; the mean length is over completions. */
export function verdictTotals(row: ComparisonRow): VerdictTotals {
  const verdicts: Record<Verdict, number> = { correct: 0, incorrect: 0, unparsed: 0, truncated: 0 };
  let samples = 0;
  let tokens = 0;
  for (const result of row.benchmarks) {
    let own = 0;
    for (const verdict of verdictOrder) {
      verdicts[verdict] += result.verdicts[verdict];
      own += result.verdicts[verdict];
    }
    samples += own;
    tokens += own * result.meanTokens;
  }
  return { verdicts, samples, meanTokens: samples > 0 ? tokens / samples : 0 };
}

export function verdictChart(rows: readonly ComparisonRow[]): Markup | null {
  const measured = rows.filter((row) => row.benchmarks.length > 0);
  if (measured.length === 0) return null;
  const rowHeight = measured.length > 24 ? 21 : 27;
  const height = plot.top + measured.length * rowHeight + 8;
  const title = 'Verdicts by run, with the mean length of completions';
  return markup`<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}" xmlns="http://www.w3.org/2000/svg">
<title>${title}</title>
${verdictOrder.map(
  (verdict, index) => markup`<rect class="verdict-${verdict}" x="${plot.left + index * 116}" y="8" width="12" height="12" rx="2"/>
<text class="legend" x="${plot.left + index * 116 + 18}" y="18">${verdict}</text>`,
)}
<text class="legend" x="${width - 6}" y="18" text-anchor="end">mean tokens</text>
${measured.map((row, index) => drawRow(row, plot.top + index * rowHeight, rowHeight))}
</svg>`;
}

function drawRow(row: ComparisonRow, top: number, rowHeight: number): Markup {
  const { verdicts, samples, meanTokens } = verdictTotals(row);
  const span = plot.right - plot.left;
  let x = plot.left;
  const bars = verdictOrder.map((verdict) => {
    const share = verdicts[verdict] / samples;
    const left = x;
    x += share * span;
    if (share === 0) return null;
    const text = `${row.name}: ${verdicts[verdict]} of ${samples} ${verdict} (${percent(share)} %)`;
    const label =
      share > 0.06 &&
      markup`<text class="bar-label" x="${px(left + (share * span) / 2)}" y="${top + rowHeight / 2 + 1.5}" text-anchor="middle">${percent(share)}</text>`;
    return markup`<g><title>${text}</title><rect class="verdict-${verdict}" x="${px(left)}" y="${top}" width="${px(share * span)}" height="${rowHeight - 6}"/>${label}</g>`;
  });
  const characters = [...row.name];
  const name = characters.length > labelLength ? `${characters.slice(0, labelLength - 1).join('')}…` : row.name;
  return markup`<text class="row-label" x="${plot.left - 12}" y="${top + rowHeight / 2 + 1.5}" text-anchor="end">${name}</text>${bars}
<text class="row-label" x="${width - 6}" y="${top + rowHeight / 2 + 1.5}" text-anchor="end">${meanTokens.toFixed(1)}</text>`;
}
