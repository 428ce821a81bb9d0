/** A study's comparison as the command line prints it: rows that are equal for equal seeds, and timings kept apart from them. */
import { measureText } from '#contract/benchmarks.ts';
import type { ComparisonRow, StudyComparison } from '#contract/comparison.ts';
import { benchmarkFailureLines, failureHeader, failureLines, failureNote } from '../reports/failure-table.ts';
import { bytes, duration, percentInterval, points } from '../reports/format.ts';
import { perplexityHeader, perplexityLines, perplexityNote } from '../reports/perplexity-table.ts';
import { textTable } from './terminal.ts';

export function studyResult(comparison: StudyComparison): object {
  return {
    study: {
      name: comparison.name,
      complete: comparison.complete,
      protocolHash: comparison.protocolHash,
      protocol: comparison.protocol,
      models: comparison.models.map(({ name, hash, parameters, sizeBytes }) => ({ name, hash, parameters, bytes: sizeBytes })),
      benchmarks: comparison.benchmarks.map(({ name, sha256, problems, kind = 'maths', floor }) => ({
        name,
        kind,
        sha256,
        problems,
        floor,
      })),
      texts: comparison.texts.map(({ name, sha256 }) => ({ name, sha256 })),
    },
    rows: comparison.rows.map(resultRow),
    timing: comparison.rows.map(({ name, elapsedMs, backend, device }) => ({ recipe: name, elapsedMs, backend, device })),
    environment: comparison.environment,
  };
}

function resultRow(row: ComparisonRow): object {
  return {
    recipe: row.name,
    status: row.status,
    model: row.model,
    seed: row.seed,
    method: row.method,
    scheme: row.scheme,
    bytes: row.sizeBytes,
    bitsPerWeight: row.bitsPerWeight,
    ...(row.training.length > 0 ? { training: row.training } : {}),
    benchmarks: row.benchmarks.map(({ benchmark, accuracy, problems, seeds, verdicts, meanTokens, versusBaseline, failures, passAtK }) => ({
      benchmark,
      accuracy: accuracy.value,
      low: accuracy.low,
      high: accuracy.high,
      problems,
      seeds,
      passAtK,
      verdicts,
      meanTokens,
      versusBaseline,
      failures,
    })),
    average: row.average,
    drop: row.drop,
    dropTest: row.dropTest,
    recovery: row.recovery,
    perplexities: row.perplexities,
    otherProtocol: row.otherProtocol,
    notes: row.notes,
  };
}

export function failuresResult({ rows }: StudyComparison): object {
  return rows.map(({ name, benchmarks }) => ({
    recipe: name,
    benchmarks: benchmarks.map(({ benchmark, verdicts, failures }) => ({ benchmark, verdicts, ...failures })),
  }));
}

/** How completions failed: a line per run, and under it one per benchmark. */
export function failuresText({ rows }: StudyComparison): string {
  const header = ['recipe', 'benchmark', ...failureHeader];
  const single = Map.groupBy(benchmarkFailureLines(rows), ({ run }) => run);
  const lines = failureLines(rows).flatMap((line) => [line, ...(single.get(line.run) ?? [])]);
  const cells = lines.map(({ run, benchmark, cells: own }) => [benchmark === null ? run : '', benchmark ?? 'all', ...own]);
  return [textTable(header, cells, new Set(header.map((_, column) => column).slice(2))), '', failureNote].join('\n');
}

export function studyText(comparison: StudyComparison): string {
  const names = comparison.benchmarks.map((benchmark) => benchmark.name);
  const header = ['recipe', 'status', 'size', 'bits', ...names, 'average [95 %]', 'drop', 'recovery'];
  const rows = comparison.rows.map((row) => [
    row.name,
    row.status,
    row.sizeBytes === null ? '–' : bytes(row.sizeBytes),
    row.bitsPerWeight === null ? '–' : row.bitsPerWeight.toFixed(2),
    ...names.map((name) => {
      const result = row.benchmarks.find((benchmark) => benchmark.benchmark === name);
      return result ? (100 * result.accuracy.value).toFixed(1) : '–';
    }),
    row.average ? percentInterval(row.average) : '–',
    row.drop ? points(row.drop.value) : '–',
    row.recovery === null ? '–' : `${(100 * row.recovery).toFixed(1)} %`,
  ]);
  const table = textTable(header, rows, new Set(header.map((_, column) => column).slice(2)));
  const { seeds, temperature, topP } = comparison.protocol;
  const notes = comparison.rows
    .filter((row) => row.status !== 'finished' || row.otherProtocol !== null)
    .flatMap((row) => row.notes.map((note) => `${row.name}: ${note}`));
  return [
    `${comparison.name}: accuracy in percent, ${seeds.length} seeds, temperature ${temperature}, top-p ${topP}`,
    '',
    table,
    '',
    ...comparison.benchmarks.filter(({ floor }) => floor !== undefined).map((each) => `${each.name}: ${measureText(each)}.`),
    ...perplexityText(comparison),
    ...notes,
    `Measured in ${duration(comparison.elapsedMs)}.`,
  ].join('\n');
}

function perplexityText(comparison: StudyComparison): string[] {
  const lines = perplexityLines(comparison);
  if (lines.length === 0) return [];
  const header = ['recipe', ...perplexityHeader(comparison)];
  const cells = lines.map(({ run, cells: own }) => [run.name, ...own]);
  return [textTable(header, cells, new Set(header.map((_, column) => column).slice(1))), '', perplexityNote, ''];
}
