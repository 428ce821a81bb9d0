/** What the wizard, a plan and `benchmark inspect` know of a benchmark before it is used: layout, splits, columns, counts, and every problem. */
import { type BenchmarkReference, isText } from '#contract/benchmarks.ts';
import { RoundoffError } from '#contract/errors.ts';
import type { BenchmarkFacts, DatasetInspection, InspectionProblem } from '#contract/records.ts';
import { fingerprintSource, listSplits } from '../data/data-source.ts';
import { fingerprint } from '../data/fingerprint.ts';
import { readText } from '../data/whole-text.ts';
import { type BenchmarkReading, benchmarkName, readBenchmark } from './load.ts';
import { choiceLetter, constantLetterFloor, type Problem } from './problem.ts';

const previewRows = 5;
const previewCharacters = 160;
const textPreview = 600;
/** The floor of seeded orders is told for these; a protocol may name others. */
const usualSeeds = [42, 43, 44];

const noFacts: BenchmarkFacts = {
  ...{ layout: 'none', problemKind: 'maths', repository: null, split: null, splits: [], columns: [], levels: [], subjects: [] },
  ...{ withTolerance: 0, floor: null },
};

type InspectedReference = Omit<BenchmarkReference, 'name'>;

export interface InspectOptions {
  signal?: AbortSignal;
  /** Findings that are listed at most. */
  maxFindings?: number;
}

/** Never throws for a bad file: findings are in `problems`, those of severity `error` mean that it cannot be used. */
export async function inspectBenchmark(reference: string | InspectedReference, options: InspectOptions = {}): Promise<DatasetInspection> {
  const source = typeof reference === 'string' ? { path: reference } : reference;
  const { path } = source;
  const empty = { path, name: benchmarkName(path), kind: 'benchmark' as const, rows: 0, sizeBytes: 0, sha256: '', preview: [] };
  try {
    if (isText(source)) return { ...empty, ...(await inspectText(path)) };
    const reading = await readBenchmark(source, options);
    const preview = reading.problems.slice(0, previewRows).map(shown);
    const { rows, findings } = reading;
    return { ...empty, ...(await fingerprintSource(reading.source)), rows, preview, problems: findings, benchmark: factsOf(reading) };
  } catch (error) {
    if (!(error instanceof RoundoffError)) throw error;
    const problems: InspectionProblem[] = [{ severity: 'error', where: path, message: error.message, hint: error.hint }];
    const splits = await listSplits(path);
    return { ...empty, problems, ...(splits.length > 0 ? { benchmark: { ...noFacts, splits } } : {}) };
  }
}

/** A text counts as one; its windows are known once a model's tokenizer has read it. */
async function inspectText(path: string): Promise<Omit<DatasetInspection, 'path' | 'name' | 'kind'>> {
  const text = await readText(path);
  const { sha256, sizeBytes } = await fingerprint(path);
  const isEmpty = text.trim() === '';
  const problems: InspectionProblem[] = isEmpty
    ? [{ severity: 'error', where: path, message: 'The file holds no text.', hint: 'Choose a text file, or rows with "text".' }]
    : [];
  const facts: BenchmarkFacts = { ...noFacts, layout: 'text', problemKind: 'text' };
  const preview = isEmpty ? [] : [{ prompt: text.trim().slice(0, textPreview), answer: '' }];
  return { rows: 1, sha256, sizeBytes, preview, problems, benchmark: facts };
}

/** A letter alone says nothing: the choices stand with the question, the right one's text with its letter. */
function shown({ question, gold, choices, contexts }: Problem): { prompt: string; answer: string } {
  if (!choices) return { prompt: question, answer: gold };
  const listed = choices.map((choice, index) => `${choiceLetter(index)}) ${contexts ? '…' : ''}${choice}`).join('\n');
  return { prompt: `${question}\n\n${listed}`, answer: `${gold}) ${choices[gold.charCodeAt(0) - 65]}` };
}

function factsOf({ source, layout, firstRows, problems }: BenchmarkReading): BenchmarkFacts {
  const names = [...new Set(firstRows.flatMap((row) => Object.keys(row)))];
  return {
    layout: layout?.title ?? 'none',
    problemKind: layout?.kind ?? 'maths',
    repository: source.repository,
    split: source.split,
    splits: source.splits,
    columns: names.map((name) => ({ name, example: exampleOf(firstRows.map((row) => row[name])) })),
    levels: countsOf(problems.map(({ level }) => (level === undefined ? null : String(level)))),
    subjects: countsOf(problems.map(({ subject }) => subject ?? null)),
    withTolerance: problems.filter(({ tolerance }) => tolerance !== undefined).length,
    floor: constantLetterFloor(problems, problems.some((problem) => problem.seededOrder) ? usualSeeds : [0]),
  };
}

function exampleOf(values: readonly unknown[]): string {
  const value = values.find((item) => item !== null && item !== undefined && item !== '');
  const text = value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > previewCharacters ? `${text.slice(0, previewCharacters)}…` : text;
}

/** Of those that have any, by falling count. */
function countsOf(values: readonly (string | null)[]): { name: string; problems: number }[] {
  const groups = Map.groupBy(
    values.filter((value) => value !== null),
    (value) => value,
  );
  return [...groups]
    .map(([name, list]) => ({ name, problems: list.length }))
    .sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
}
