/**
 * Reads benchmarks from files and folders, checks every row, and inspects them for the study wizard. A file with a bad row is refused whole,
 * naming every finding: a score over silently dropped problems would not be comparable.
 */
import { basename, extname, relative } from 'node:path';
import type { BenchmarkReference, ProblemKind } from '#contract/benchmarks.ts';
import { RoundoffError } from '#contract/errors.ts';
import type { InspectionProblem } from '#contract/records.ts';
import { type DataFile, type DataSource, fingerprintSource, resolveDataSource } from '../data/data-source.ts';
import { readJsonObject } from '../data/json-file.ts';
import { readJsonRows } from '../data/json-rows.ts';
import { isWanted, mapColumns, plainRow } from './columns.ts';
import { type Layout, layoutOf } from './layouts/index.ts';
import { type Problem, problemId, type Row, textOf } from './problem.ts';

export interface Benchmark {
  name: string;
  path: string;
  kind: ProblemKind;
  sha256: string;
  sizeBytes: number;
  /** Rows in the file that are wanted, before the limit. */
  rows: number;
  problems: Problem[];
}

export interface BenchmarkSource extends BenchmarkReference {
  /** First N problems in file order; null for all. */
  limit: number | null;
  /** Keep worked solutions. */
  solutions?: boolean;
}

/** What reading a benchmark found; `problems` are those of sound rows. */
export interface BenchmarkReading {
  source: DataSource;
  /** Null for a file without rows. */
  layout: Layout | null;
  /** The first rows as they are in the file. */
  firstRows: Row[];
  problems: Problem[];
  findings: InspectionProblem[];
  rows: number;
}

const maxFindings = 20;
const keptRows = 5;

/**
 * Throws `not-found`, `read-only` (no permission), `bad-input` (nothing to read, no such split) and `dataset-invalid` with every finding
 * listed.
 */
export async function loadBenchmark(source: BenchmarkSource, options: { signal?: AbortSignal } = {}): Promise<Benchmark> {
  const reading = await readBenchmark(source, { ...options, solutions: source.solutions ?? false });
  const errors = reading.findings.filter((finding) => finding.severity === 'error');
  const first = errors[0];
  if (first) {
    const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
    throw new RoundoffError('dataset-invalid', `Benchmark "${source.name}": ${first.where}: ${first.message}${more}`, first.hint, {
      problems: errors.map((finding) => `${finding.where}: ${finding.message}`),
    });
  }
  const { problems, rows, layout } = reading;
  const limited = source.limit === null ? problems : problems.slice(0, source.limit);
  const { name, path } = source;
  return { name, path, kind: layout!.kind, ...(await fingerprintSource(reading.source)), rows, problems: limited };
}

interface ReadOptions {
  signal?: AbortSignal;
  /** Findings that are listed at most. */
  maxFindings?: number;
  solutions?: boolean;
}

/** Reads every row. Throws only for what is no row: a missing file, a split that is not there, broken JSON. */
export async function readBenchmark(reference: Omit<BenchmarkReference, 'name'>, options: ReadOptions = {}): Promise<BenchmarkReading> {
  const source = await resolveDataSource(reference.path, reference.split);
  const reader = new RowReader(source, reference, options);
  for (const file of source.files) {
    for await (const { place, value } of rowsOf(file, options.signal)) reader.add(file, placeIn(reference.path, file, place), value);
  }
  return reader.finish();
}

/** Turns rows into problems and gathers what is wrong with them. */
class RowReader {
  private readonly result: BenchmarkReading;
  private readonly reference: Omit<BenchmarkReference, 'name'>;
  private readonly maxFindings: number;
  private readonly solutions: boolean;
  /** Problems of several splits are told apart by their split. */
  private readonly prefixed: boolean;
  private readonly places = new Map<string, string>();
  private readonly positions = new Map<string, number>();
  private seen = 0;

  constructor(source: DataSource, reference: Omit<BenchmarkReference, 'name'>, options: ReadOptions) {
    this.result = { source, layout: null, firstRows: [], problems: [], findings: [], rows: 0 };
    this.reference = reference;
    this.maxFindings = options.maxFindings ?? maxFindings;
    this.solutions = options.solutions ?? false;
    this.prefixed = new Set(source.files.map((file) => file.split)).size > 1;
  }

  add(file: DataFile, place: string, value: Row): void {
    const { result, reference } = this;
    const row = plainRow(value);
    this.seen += 1;
    if (result.firstRows.length < keptRows) result.firstRows.push(row);
    const position = (this.positions.get(file.split) ?? 0) + 1;
    this.positions.set(file.split, position);
    this.collect(place, () => {
      if (reference.where && !isWanted(row, reference.where, place)) return;
      result.rows += 1;
      result.layout ??= layoutOf(row, reference);
      const read = reference.columns ? mapColumns(row, reference.columns, place) : row;
      const own = file.single ?? problemId(read, place, position);
      const id = this.prefixed && file.single === null ? `${file.split}/${own}` : own;
      this.checkUnique(id, place);
      const solution = this.solutions ? workedSolution(read) : '';
      result.problems.push({ id, ...result.layout.parse(read, place), ...(solution === '' ? {} : { solution }) });
    });
  }

  finish(): BenchmarkReading {
    const { result, reference } = this;
    if (result.rows > 0) return result;
    const message = this.seen === 0 ? 'the file has no rows.' : 'no row meets the condition.';
    const hint =
      this.seen === 0
        ? 'A benchmark needs at least one row, like {"id": "1", "problem": "1+1=?", "answer": "2"}.'
        : `Select less narrowly than ${JSON.stringify(reference.where)}.`;
    result.findings.push({ severity: 'error', where: reference.path, message, hint });
    return result;
  }

  private checkUnique(id: string, place: string): void {
    const earlier = this.places.get(id);
    if (earlier === undefined) this.places.set(id, place);
    else
      this.report({
        severity: 'error',
        where: place,
        message: `the id "${id}" is already used in ${earlier}.`,
        hint: 'Give every problem an id of its own; results are recorded by it.',
      });
  }

  private collect(place: string, read: () => void): void {
    try {
      read();
    } catch (error) {
      if (!(error instanceof RoundoffError)) throw error;
      const message = error.message.startsWith(`${place}: `) ? error.message.slice(place.length + 2) : error.message;
      this.report({ severity: 'error', where: place, message, hint: error.hint });
    }
  }

  /** After the last finding that is listed, one closing line says that there are more. */
  private report(finding: InspectionProblem): void {
    const { findings } = this.result;
    if (findings.length < this.maxFindings) findings.push(finding);
    else if (findings.length === this.maxFindings)
      findings.push({ ...finding, where: this.reference.path, message: 'more rows have findings of this kind.' });
  }
}

async function* rowsOf(file: DataFile, signal?: AbortSignal): AsyncGenerator<{ place: string; value: Row }> {
  if (file.single === null) yield* readJsonRows(file.path, signal ? { signal } : {});
  else yield { place: '', value: await readJsonObject(file.path, { code: 'dataset-invalid' }) };
}

/** `test.jsonl, line 3`; within a folder with the way to the file. */
function placeIn(path: string, file: DataFile, place: string): string {
  const name = file.path === path ? basename(path) : relative(path, file.path);
  return place === '' ? name : `${name}, ${place}`;
}

/** How the answer comes about: a `solution`, or what stands before `####` in GSM8K's `answer`. */
function workedSolution(row: Row): string {
  const answer = textOf(row, ['answer']);
  const marker = answer.lastIndexOf('####');
  const stated = textOf(row, ['solution', 'Solution', 'Explanation', 'rationale']);
  return stated === '' && marker >= 0
    ? answer
        .slice(0, marker)
        .replace(/<<[^<>]*>>/g, '')
        .trim()
    : stated;
}

/** `gsm8k_test` of a file, the data set's or folder's name of a folder. */
export function benchmarkName(path: string): string {
  const parts = path.split(/[\\/]/).filter(Boolean);
  const cached = parts.findLast((part) => part.startsWith('datasets--'));
  return cached ? cached.split('--').at(-1)! : basename(path, extname(path));
}
