/**
 * The tables of the HTML report: results, benchmarks in detail, and definition lists for protocol and provenance.
 */
import { type BenchmarkResult, type ComparisonRow, nameAddition, plainTitle, type StudyComparison } from '#contract/comparison.ts';
import { overridesTitle } from '#contract/overrides.ts';
import { bytes, duration, loadsInLabel, negated, percent, points, pValue } from './format.ts';
import { type Markup, markup } from './markup.ts';

/** One line per run: size, average with interval, change against the baseline, recovery, verdict. */
export function resultsTable(comparison: StudyComparison): Markup {
  const severalModels = comparison.models.length > 1;
  const severalSeeds = new Set(comparison.rows.map((row) => row.seed)).size > 1;
  return markup`<div class="scroll"><table>
<thead><tr><th>Run</th>${severalModels && markup`<th>Model</th>`}${severalSeeds && markup`<th class="number">Seed</th>`}
<th class="number">Size</th><th class="number">Bits per weight</th><th class="number">Average, %<small>95 % interval</small></th>
<th class="number">Change, points<small>95 % interval, paired</small></th><th class="number">p<small>Holm</small></th><th class="number">Recovery</th><th>Against baseline</th><th>Loads in</th><th class="number">Time</th></tr></thead>
<tbody>${comparison.rows.map(
    (row) => markup`<tr${row.isBaseline && markup` class="is-baseline"`}><td class="name">${row.name}${codes(row)}</td>
${severalModels && markup`<td>${row.model}</td>`}${severalSeeds && markup`<td class="number">${row.seed}</td>`}
<td class="number">${row.sizeBytes === null ? '–' : bytes(row.sizeBytes)}</td><td class="number">${row.bitsPerWeight?.toFixed(2) ?? '–'}</td>
<td class="number">${row.average ? withInterval(percent, row.average) : '–'}</td>
<td class="number">${row.drop ? withInterval(points, negated(row.drop)) : '–'}</td>
<td class="number">${row.dropTest ? markup`${pValue(row.dropTest.pValue)}<small>${pValue(row.dropTest.holm)}</small>` : '–'}</td>
<td class="number">${row.recovery === null ? '–' : `${percent(row.recovery)} %`}</td><td>${standing(row)}</td><td class="loads">${loadsInLabel(row)}</td>
<td class="number">${row.elapsedMs === null ? '–' : duration(row.elapsedMs)}</td></tr>`,
  )}</tbody></table></div>`;
}

/** One line per run, one column per benchmark: accuracy with interval, and the paired change. */
export function benchmarkTable(rows: readonly ComparisonRow[], benchmarks: StudyComparison['benchmarks']): Markup {
  return markup`<div class="scroll"><table>
<thead><tr><th>Run</th>${benchmarks.map(({ name, problems }) => markup`<th class="number">${name}<small>${problems} problems</small></th>`)}</tr></thead>
<tbody>${rows.map(
    (row) => markup`<tr${row.isBaseline && markup` class="is-baseline"`}><td class="name">${row.name}</td>
${benchmarks.map(({ name }) => benchmarkCell(row.benchmarks.find((result) => result.benchmark === name)))}</tr>`,
  )}</tbody></table></div>`;
}

/** Label and value pairs. */
export function definitions(entries: readonly (readonly [label: string, value: string])[]): Markup {
  return markup`<dl>${entries.map(([label, value]) => markup`<dt>${label}</dt><dd>${value}</dd>`)}</dl>`;
}

/** A plain table; columns named in `numbers` are right-aligned, those in `hashes` monospaced. */
export function plainTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  options: { numbers?: number[]; hashes?: number[] } = {},
): Markup {
  const kind = (column: number) => (options.numbers?.includes(column) ? 'number' : options.hashes?.includes(column) ? 'hash' : 'text');
  return markup`<div class="scroll"><table><thead><tr>${header.map((text, column) => markup`<th class="${kind(column)}">${text}</th>`)}</tr></thead>
<tbody>${rows.map((row) => markup`<tr>${row.map((text, column) => markup`<td class="${kind(column)}">${text}</td>`)}</tr>`)}</tbody></table></div>`;
}

export function badge(text: string): Markup {
  return markup`<span class="badge ${text.replaceAll(' ', '-')}">${text}</span>`;
}

/** Method and scheme where the name does not say them, and what other modules have. */
function codes(row: ComparisonRow): Markup | null {
  if (row.isBaseline) return null;
  const isNamed = nameAddition(row) !== row.name;
  const parts = [isNamed ? '' : plainTitle(row), overridesTitle(row.overrides)].filter((part) => part !== '');
  return parts.length > 0 ? markup`<small>${parts.join('; ')}</small>` : null;
}

function standing(row: ComparisonRow): Markup {
  if (row.status !== 'finished') return badge(row.status);
  if (row.isBaseline) return markup`baseline`;
  return row.drop ? badge(row.drop.verdict) : markup`–`;
}

function withInterval(format: (value: number) => string, interval: { value: number; low: number; high: number }): Markup {
  return markup`${format(interval.value)}<small>${format(interval.low)} … ${format(interval.high)}</small>`;
}

function benchmarkCell(result: BenchmarkResult | undefined): Markup {
  if (!result) return markup`<td class="number">–</td>`;
  const difference = result.versusBaseline;
  const change = difference && markup`<small>${points(difference.value)} (${difference.gained} right, ${difference.lost} wrong)</small>`;
  return markup`<td class="number">${percent(result.accuracy.value)}<small>${percent(result.accuracy.low)} … ${percent(result.accuracy.high)}</small>${change}</td>`;
}
