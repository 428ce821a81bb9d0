/**
 * Methods down, schemes across: each cell the average accuracy of one run with the half-width of its interval, its ground by how much of
 * the baseline's accuracy is left. The overview of a sweep.
 */
import type { ComparisonRow } from '#contract/comparison.ts';
import { isWorthAMatrix, resultTone, resultTones, schemeMatrix, schemeWithinFamily, toneTitles } from '#contract/sweep.ts';
import { margin, negated, percent, percentInterval, pointsInterval } from './format.ts';
import { type Markup, markup } from './markup.ts';

/** Rows of one model; null when there is one method or one scheme only. */
export function matrixTable(rows: readonly ComparisonRow[]): Markup | null {
  const matrix = schemeMatrix(rows);
  if (!isWorthAMatrix(matrix)) return null;
  const baseline = rows.find((row) => row.isBaseline);
  return markup`<div class="scroll"><table class="matrix"><thead>
<tr><th rowspan="2">Method</th>${matrix.families.map(({ family, columns }) => markup`<th colspan="${columns}">${family}</th>`)}</tr>
<tr>${matrix.columns.map((scheme) => markup`<th title="${scheme}">${schemeWithinFamily(scheme)}</th>`)}</tr></thead>
<tbody>${matrix.lines.map((line) => markup`<tr><th scope="row">${line.series}</th>${line.rows.map(cell)}</tr>`)}</tbody></table></div>
<p class="tones">${baseline?.average && markup`<span>Baseline ${percent(baseline.average.value)} ±${margin(baseline.average)}</span>`}${resultTones.map(
    (tone) => markup`<span><i class="${tone}"></i>${toneTitles[tone]}</span>`,
  )}</p>`;
}

function cell(row: ComparisonRow | null): Markup {
  if (!row) return markup`<td></td>`;
  if (!row.average) return markup`<td class="open">${row.status}</td>`;
  const change = row.drop && `, change ${pointsInterval(negated(row.drop))} points`;
  return markup`<td class="${resultTone(row) ?? 'open'}" title="${row.name}: ${percentInterval(row.average)} %${change}">${percent(row.average.value)}<small>±${margin(row.average)}</small></td>`;
}
