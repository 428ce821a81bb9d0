/**
 * Reads benchmark files (JSON Lines, one JSON list, or Parquet), checks every row, and inspects files for the study wizard. A file with
 * a bad row is refused whole, naming every finding: a score over silently dropped problems would not be comparable.
 */
import { basename, extname } from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import type { DatasetInspection, InspectionProblem } from '#contract/records.ts';
import { fingerprint } from '../data/fingerprint.ts';
import { type DataRow, readJsonRows } from '../data/json-rows.ts';
import { gradingCaveat, type Problem, parseProblem } from './problem.ts';

export interface Benchmark {
  name: string;
  path: string;
  sha256: string;
  sizeBytes: number;
  /** Rows in the file, before the limit. */
  rows: number;
  problems: Problem[];
}

export interface BenchmarkSource {
  name: string;
  path: string;
  /** First N problems in file order; null for all. */
  limit: number | null;
}

const maxFindings = 20;
const previewRows = 5;

/** Throws `not-found`, `read-only` (no permission), `bad-input` (a folder) and `dataset-invalid` with every finding listed. */
export async function loadBenchmark(source: BenchmarkSource, options: { signal?: AbortSignal } = {}): Promise<Benchmark> {
  const { problems, findings, rows } = await readProblems(source.path, options);
  const errors = findings.filter((finding) => finding.severity === 'error');
  const first = errors[0];
  if (first) {
    const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
    throw new RoundoffError('dataset-invalid', `Benchmark "${source.name}": ${first.where}: ${first.message}${more}`, first.hint, {
      problems: errors.map((finding) => `${finding.where}: ${finding.message}`),
    });
  }
  const { sha256, sizeBytes } = await fingerprint(source.path);
  const limited = source.limit === null ? problems : problems.slice(0, source.limit);
  return { name: source.name, path: source.path, sha256, sizeBytes, rows, problems: limited };
}

/** Never throws for a bad file: findings are in `problems`, those of severity `error` mean the file cannot be used. */
export async function inspectBenchmark(path: string): Promise<DatasetInspection> {
  const name = basename(path, extname(path));
  const empty = { path, name, kind: 'benchmark' as const, rows: 0, sizeBytes: 0, sha256: '', preview: [] };
  try {
    const { problems, findings, rows } = await readProblems(path, {});
    const preview = problems.slice(0, previewRows).map(({ question, gold }) => ({ prompt: question, answer: gold }));
    return { ...empty, ...(await fingerprint(path)), rows, preview, problems: findings };
  } catch (error) {
    if (!(error instanceof RoundoffError)) throw error;
    return { ...empty, problems: [{ severity: 'error', where: path, message: error.message, hint: error.hint }] };
  }
}

interface ReadResult {
  problems: Problem[];
  findings: InspectionProblem[];
  rows: number;
}

async function readProblems(path: string, options: { signal?: AbortSignal }): Promise<ReadResult> {
  const rows: DataRow[] = [];
  for await (const { place, value } of readJsonRows(path, options)) rows.push({ place: `${basename(path)}, ${place}`, value });
  const result: ReadResult = { problems: [], findings: [], rows: rows.length };
  const places = new Map<string, string>();
  for (const [index, { place, value }] of rows.entries()) {
    const problem = collect(result.findings, path, place, () => parseProblem(value, place, index + 1));
    if (!problem) continue;
    const earlier = places.get(problem.id);
    if (earlier !== undefined) {
      const hint = 'Give every problem an id of its own; results are recorded by it.';
      report(result.findings, path, {
        severity: 'error',
        where: place,
        message: `the id "${problem.id}" is already used in ${earlier}.`,
        hint,
      });
    }
    places.set(problem.id, place);
    result.problems.push(problem);
    const caveat = gradingCaveat(value);
    if (caveat)
      report(result.findings, path, {
        severity: 'warning',
        where: place,
        message: `${caveat}.`,
        hint: 'Read this problem’s score with that in mind.',
      });
  }
  if (rows.length === 0) {
    const hint = 'A benchmark needs at least one row, like {"id": "1", "problem": "1+1=?", "answer": "2"}.';
    result.findings.push({ severity: 'error', where: path, message: 'the file has no rows.', hint });
  }
  return result;
}

function collect(findings: InspectionProblem[], path: string, place: string, parse: () => Problem): Problem | null {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof RoundoffError)) throw error;
    report(findings, path, { severity: 'error', where: place, message: error.message.slice(place.length + 2), hint: error.hint });
    return null;
  }
}

/** After the twentieth finding of a severity, one closing line says that there are more. */
function report(findings: InspectionProblem[], path: string, finding: InspectionProblem): void {
  const alike = findings.filter((known) => known.severity === finding.severity).length;
  if (alike < maxFindings) findings.push(finding);
  else if (alike === maxFindings) findings.push({ ...finding, where: path, message: 'more rows have findings of this kind.' });
}
