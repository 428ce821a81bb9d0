/** What the wizard and a plan know of a data file before it is used: rows, size, hash, a preview, and every problem. */
import path from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import type { DatasetInspection, DatasetKind, InspectionProblem } from '#contract/records.ts';
import { inspectBenchmark } from '../engine/benchmarks/load.ts';
import { streamJsonl, streamLines } from '../engine/data/jsonl.ts';
import { hashFile } from '../engine/formats/atomic-file.ts';

const previewRows = 5;
const previewCharacters = 600;

/** Never throws for a bad file: findings are in `problems`, and those of severity `error` mean it cannot be used. */
export function inspectDataset(file: string, kind: DatasetKind): Promise<DatasetInspection> {
  return kind === 'benchmark' ? inspectBenchmark(file) : inspectCalibration(file);
}

async function inspectCalibration(file: string): Promise<DatasetInspection> {
  const name = path.basename(file, path.extname(file));
  const result: DatasetInspection = {
    path: file,
    name,
    kind: 'calibration',
    rows: 0,
    sizeBytes: 0,
    sha256: '',
    preview: [],
    problems: [],
  };
  try {
    for await (const document of readDocuments(file)) {
      result.rows++;
      if (result.preview.length < previewRows) result.preview.push(document);
    }
    Object.assign(result, await hashFile(file));
    if (result.rows === 0)
      result.problems.push(finding(file, 'The file holds no text.', 'Choose a file with one document per line, or a text file.'));
  } catch (error) {
    if (!(error instanceof RoundoffError)) throw error;
    result.problems.push(finding(file, error.message, error.hint));
  }
  return result;
}

async function* readDocuments(file: string): AsyncGenerator<{ prompt: string; answer: string }> {
  const cut = (text: string) => (text.length > previewCharacters ? `${text.slice(0, previewCharacters)}…` : text);
  if (!/\.jsonl$/i.test(file)) {
    for await (const { text } of streamLines(file)) if (text.trim() !== '') yield { prompt: cut(text), answer: '' };
    return;
  }
  for await (const { line, value } of streamJsonl(file)) {
    if (typeof value.text === 'string') yield { prompt: cut(value.text), answer: '' };
    else if (typeof value.prompt === 'string' && typeof value.completion === 'string')
      yield { prompt: cut(value.prompt), answer: cut(value.completion) };
    else
      throw new RoundoffError(
        'dataset-invalid',
        `${file}, line ${line}: the row has neither "text" nor "prompt" and "completion".`,
        'Rename the fields, or choose another calibration file.',
      );
  }
}

function finding(where: string, message: string, hint: string): InspectionProblem {
  return { severity: 'error', where, message, hint };
}
