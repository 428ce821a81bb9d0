/**
 * The workbook (Office Open XML, `.xlsx`): a sheet for each part of the comparison, its numbers as numbers with every digit they have.
 */
import writeWorkbook from 'write-excel-file/node';
import type { StudyComparison } from '#contract/comparison.ts';
import type { SampleRow } from '#contract/records.ts';
import { protocolSheet, sampleSheet, textSheet } from './context-sheets.ts';
import { benchmarkSheet, comparisonSheet, failureSheet, pairedSheet, perplexitySheet, runSheet } from './result-sheets.ts';

/** The file's bytes. */
export async function workbookReport(comparison: StudyComparison, samples: readonly SampleRow[] = []): Promise<Uint8Array> {
  const problems = new Set(samples.map(({ benchmark, problemId, seed }) => JSON.stringify([benchmark, problemId, seed]))).size;
  const sheets = [
    comparisonSheet(comparison),
    pairedSheet(comparison),
    benchmarkSheet(comparison),
    perplexitySheet(comparison),
    failureSheet(comparison),
    runSheet(comparison),
    protocolSheet(comparison),
    textSheet(comparison),
    sampleSheet(samples, `All runs’ completions of ${problems} of the problems: first those whose verdict a variant changed.`),
  ];
  return await writeWorkbook(sheets.filter((sheet) => sheet !== null)).toBuffer();
}
