/**
 * Markdown with GitHub tables: findings, results, benchmarks, protocol, provenance. Cell text is escaped, so that a name cannot
 * break a table or smuggle in markup.
 */
import { measureText } from '#contract/benchmarks.ts';
import type { ComparisonRow, StudyComparison } from '#contract/comparison.ts';
import { isWorthAMatrix, schemeMatrix } from '#contract/sweep.ts';
import { failureHeader, failureLines, failureNote } from './failure-table.ts';
import { findings } from './findings.ts';
import {
  bytes,
  count,
  date,
  loadsInLabel,
  margin,
  methodLabel,
  negated,
  percent,
  percentInterval,
  pointsInterval,
  pValue,
  schemeLabel,
} from './format.ts';
import { methodNotes } from './methods-text.ts';
import { perplexityHeader, perplexityLines, perplexityNote } from './perplexity-table.ts';
import { protocolEntries } from './protocol-entries.ts';
import { studyResolution } from './resolution.ts';
import { resolutionTable } from './resolution-table.ts';

export function markdownReport(comparison: StudyComparison): string {
  const sections = [
    `# ${escapeMarkdown(comparison.name)}`,
    escapeMarkdown(comparison.description),
    bulletList(findings(comparison).map(({ title, text }) => `**${escapeMarkdown(title)}.** ${escapeMarkdown(text)}`)),
    '## Results',
    'Accuracies in %, changes in points against the baseline, both with 95 % intervals.',
    resultsTable(comparison),
    ...matrixSections(comparison),
    '## Benchmarks',
    benchmarkTable(comparison),
    ...perplexitySections(comparison),
    ...failureSections(comparison),
    ...resolutionSections(comparison),
    '## Protocol',
    table(['setting', 'value'], protocolEntries(comparison.protocol, comparison.protocolHash)),
    '## Provenance',
    provenance(comparison),
    '## How the numbers are computed',
    bulletList(methodNotes(comparison.rows).map(escapeMarkdown)),
    ...notes(comparison),
  ];
  return `${sections.filter((section) => section !== '').join('\n\n')}\n`;
}

/** Escapes what Markdown or HTML would interpret; line breaks become blanks. */
export function escapeMarkdown(text: string): string {
  return text
    .replace(/\s*[\r\n]+\s*/g, ' ')
    .replace(/[\\`*_[\]|~#]/g, '\\$&')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;');
}

function resultsTable({ rows }: StudyComparison): string {
  const header = [
    'run',
    'model',
    'method',
    'scheme',
    'size',
    'bits/weight',
    'average',
    'change',
    'p',
    'p (Holm)',
    'recovery',
    'against baseline',
    'loads in',
  ];
  return table(
    header,
    rows.map((row) => [
      row.name,
      row.model,
      methodLabel(row.method),
      schemeLabel(row),
      row.sizeBytes === null ? '–' : bytes(row.sizeBytes),
      row.bitsPerWeight === null ? '–' : row.bitsPerWeight.toFixed(2),
      row.average ? percentInterval(row.average) : row.status,
      row.drop ? pointsInterval(negated(row.drop)) : '–',
      row.dropTest ? pValue(row.dropTest.pValue) : '–',
      row.dropTest ? pValue(row.dropTest.holm) : '–',
      row.recovery === null ? '–' : `${percent(row.recovery)} %`,
      row.isBaseline ? 'baseline' : (row.drop?.verdict ?? '–'),
      loadsInLabel(row),
    ]),
  );
}

/** Methods down, schemes across, once per model. */
function matrixSections({ rows }: StudyComparison): string[] {
  const models = [...Map.groupBy(rows, (row) => row.modelId).values()];
  const tables = models.flatMap((own) => {
    const matrix = schemeMatrix(own);
    if (!isWorthAMatrix(matrix)) return [];
    const lines = matrix.lines.map(({ series, rows: cells }) => [series, ...cells.map(matrixCell)]);
    return [...(models.length > 1 ? [`### ${escapeMarkdown(own[0]!.model)}`] : []), table(['method', ...matrix.columns], lines)];
  });
  if (tables.length === 0) return [];
  const legend = 'Average accuracy in % with the half-width of its 95 % interval. ▼ measurably worse than the baseline, ▲ better.';
  return ['## Methods and schemes', legend, ...tables];
}

function matrixCell(row: ComparisonRow | null): string {
  if (!row) return '';
  if (!row.average) return row.status;
  const mark = row.drop?.verdict === 'worse' ? ' ▼' : row.drop?.verdict === 'better' ? ' ▲' : '';
  return `${percent(row.average.value)} ±${margin(row.average)}${mark}`;
}

function benchmarkTable({ rows, benchmarks }: StudyComparison): string {
  const cell = (row: ComparisonRow, name: string) => {
    const result = row.benchmarks.find((candidate) => candidate.benchmark === name);
    return result ? percentInterval(result.accuracy) : '–';
  };
  return table(
    ['run', ...benchmarks.map((benchmark) => benchmark.name)],
    rows.map((row) => [row.name, ...benchmarks.map((benchmark) => cell(row, benchmark.name))]),
  );
}

function perplexitySections(comparison: StudyComparison): string[] {
  const lines = perplexityLines(comparison);
  if (lines.length === 0) return [];
  const rows = lines.map(({ run, cells }) => [run.name, ...cells]);
  return ['## Perplexity', escapeMarkdown(perplexityNote), table(['run', ...perplexityHeader(comparison)], rows)];
}

function failureSections({ rows }: StudyComparison): string[] {
  const lines = failureLines(rows);
  if (lines.length === 0) return [];
  return [
    '## How reasoning fails',
    escapeMarkdown(failureNote),
    table(
      ['run', ...failureHeader],
      lines.map(({ run, cells }) => [run, ...cells]),
    ),
  ];
}

function resolutionSections(comparison: StudyComparison): string[] {
  const { header, lines, note } = resolutionTable(
    studyResolution(comparison),
    comparison.benchmarks.map(({ name }) => name),
  );
  return lines.length === 0 ? [] : ['## What this study could have seen', escapeMarkdown(note), table(header, lines)];
}

function provenance(comparison: StudyComparison): string {
  const models = comparison.models.map((model) => [model.name, count(model.parameters), bytes(model.sizeBytes), model.hash]);
  const benchmarks = [
    ...comparison.benchmarks.map((benchmark) => [benchmark.name, count(benchmark.problems), measureText(benchmark), benchmark.sha256]),
    ...comparison.texts.map(({ name, sha256 }) => [name, '–', measureText({ kind: 'text' }), sha256]),
  ];
  const environment = [['study created', date(comparison.createdAt)], ...Object.entries(comparison.environment)];
  return [
    table(['model', 'parameters', 'size', 'hash'], models),
    table(['benchmark', 'problems', 'measured', 'sha256'], benchmarks),
    table(['environment', ''], environment),
  ].join('\n\n');
}

function notes({ rows }: StudyComparison): string[] {
  const items = rows.flatMap((row) => row.notes.map((note) => `${escapeMarkdown(row.name)}: ${escapeMarkdown(note)}`));
  return items.length > 0 ? ['## Notes', bulletList(items)] : [];
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(escapeMarkdown).join(' | ')} |`;
  return [line(header), `|${' --- |'.repeat(header.length)}`, ...rows.map(line)].join('\n');
}

function bulletList(items: readonly string[]): string {
  return items.map((item) => `- ${item}`).join('\n');
}
