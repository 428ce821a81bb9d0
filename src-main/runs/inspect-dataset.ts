/** What the wizard and a plan know of a data file before it is used: rows, size, hash, a preview, and every problem. */
import path from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import type { DatasetInspection, DatasetKind, InspectionProblem } from '#contract/records.ts';
import { inspectBenchmark } from '../engine/benchmarks/load.ts';
import { streamDocuments } from '../engine/data/documents.ts';
import { hashFile } from '../engine/formats/atomic-file.ts';
import { readQuestions } from '../engine/rollouts/solutions.ts';

const previewRows = 5;
const previewCharacters = 600;

/** Never throws for a bad file: findings are in `problems`, and those of severity `error` mean it cannot be used. */
export function inspectDataset(file: string, kind: DatasetKind): Promise<DatasetInspection> {
  return kind === 'benchmark' ? inspectBenchmark(file) : inspectCalibration(file);
}

function inspectCalibration(file: string): Promise<DatasetInspection> {
  return inspectRows(file, previews(file), 'Choose a file with one document per line, or a text file.');
}

/** A set of problems that a model will be asked to solve for its calibration; their answers are not needed. */
export function inspectQuestions(file: string): Promise<DatasetInspection> {
  async function* questions() {
    for (const question of await readQuestions(file)) yield { prompt: cut(question), answer: '' };
  }
  return inspectRows(file, questions(), 'Choose a file with one problem per row.');
}

async function inspectRows(
  file: string,
  rows: AsyncIterable<{ prompt: string; answer: string }>,
  hint: string,
): Promise<DatasetInspection> {
  const name = path.basename(file, path.extname(file));
  const kind = 'calibration' as const;
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

async function* previews(file: string): AsyncGenerator<{ prompt: string; answer: string }> {
  for await (const { text, messages } of streamDocuments(file, { textLength: 1 })) {
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
