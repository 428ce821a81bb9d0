/** What the wizard and a plan know of a data file before it is used: rows, size, hash, a preview, and every problem. */
import path from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import type { DatasetInspection, DatasetKind, InspectionProblem } from '#contract/records.ts';
import { inspectBenchmark } from '../engine/benchmarks/inspect.ts';
import { type Document, streamDocuments } from '../engine/data/documents.ts';
import { hashFile } from '../engine/formats/atomic-file.ts';
import { readQuestions } from '../engine/rollouts/solutions.ts';
import { requireAnswer } from '../engine/training/training-data.ts';

const previewRows = 5;
const previewCharacters = 600;

/** Never throws for a bad file: findings are in `problems`, and those of severity `error` mean it cannot be used. */
export function inspectDataset(file: string, kind: DatasetKind): Promise<DatasetInspection> {
  if (kind === 'training') return inspectExamples(file);
  return kind === 'benchmark' ? inspectBenchmark(file) : inspectCalibration(file);
}

/** What SFT and KD learn from: conversations that end with an answer, or text. */
export function inspectExamples(file: string): Promise<DatasetInspection> {
  return inspectRows(file, previews(file, requireAnswer), {
    kind: 'training',
    hint: 'Choose a file with a prompt and a completion (or chat messages, or text) per line.',
  });
}

/** What RL learns from: problems with their right answers, read as benchmarks are. */
export async function inspectRlProblems(file: string): Promise<DatasetInspection> {
  return { ...(await inspectBenchmark(file)), kind: 'training' };
}

function inspectCalibration(file: string): Promise<DatasetInspection> {
  return inspectRows(file, previews(file), { kind: 'calibration', hint: 'Choose a file with one document per line, or a text file.' });
}

/** A set of problems that a model will be asked to solve for its calibration; their answers are not needed. */
export function inspectQuestions(file: string): Promise<DatasetInspection> {
  async function* questions() {
    for (const question of await readQuestions(file)) yield { prompt: cut(question), answer: '' };
  }
  return inspectRows(file, questions(), { kind: 'calibration', hint: 'Choose a file with one problem per row.' });
}

async function inspectRows(
  file: string,
  rows: AsyncIterable<{ prompt: string; answer: string }>,
  { kind, hint }: { kind: DatasetKind; hint: string },
): Promise<DatasetInspection> {
  const name = path.basename(file, path.extname(file));
  const result: DatasetInspection = { path: file, name, kind, rows: 0, sizeBytes: 0, sha256: '', preview: [], problems: [] };
  try {
    for await (const row of rows) {
      result.rows++;
      if (result.preview.length < previewRows) result.preview.push(row);
    }
    Object.assign(result, await hashFile(file));
    if (result.rows === 0) result.problems.push(finding(file, 'The file holds no text.', hint));
  } catch (error) {
    if (!(error instanceof RoundoffError)) throw error;
    result.problems.push(finding(file, error.message, error.hint));
  }
  return result;
}

function cut(text: string): string {
  return text.length > previewCharacters ? `${text.slice(0, previewCharacters)}…` : text;
}

async function* previews(
  file: string,
  check?: (file: string, document: Document) => void,
): AsyncGenerator<{ prompt: string; answer: string }> {
  for await (const document of streamDocuments(file, { textLength: 1 })) {
    check?.(file, document);
    const { text, messages } = document;
    const answer = messages?.at(-1)?.content ?? '';
    const prompt = messages
      ? messages
          .slice(0, -1)
          .map(({ content }) => content)
          .join('\n')
      : (text ?? '');
    yield { prompt: cut(prompt.trimEnd()), answer: cut(answer) };
  }
}

function finding(where: string, message: string, hint: string): InspectionProblem {
  return { severity: 'error', where, message, hint };
}
