/** A study's report, with completions of the problems on which a quantized model lost or gained an answer. */
import type { ReportFormat, TextReportFormat } from '#contract/commands.ts';
import type { SampleRow, StudyRecord } from '#contract/records.ts';
import { sampleQuerySchema } from '#contract/sample-query.ts';
import type { Connection } from '../project/connection.ts';
import { querySamples } from '../project/repositories/sample-query.ts';
import { compareSamples } from '../project/repositories/samples.ts';
import { renderReport, workbookReport } from '../reports/index.ts';
import { compareStudy } from '../runs/compare-study.ts';

const shownProblems = 8;

const withSamples: readonly ReportFormat[] = ['html', 'json', 'xlsx'];

/** The report's text, or a workbook's bytes. All that is read from the project is read before this returns. */
export function renderStudyReport(db: Connection, study: StudyRecord, format: TextReportFormat): string;
export function renderStudyReport(db: Connection, study: StudyRecord, format: ReportFormat): string | Promise<Uint8Array>;
export function renderStudyReport(db: Connection, study: StudyRecord, format: ReportFormat): string | Promise<Uint8Array> {
  const comparison = compareStudy(db, study);
  const samples = withSamples.includes(format) ? tellingSamples(db, study.id) : [];
  return format === 'xlsx' ? workbookReport(comparison, samples) : renderReport(comparison, format, { samples });
}

/** All runs' completions of the first problems whose verdict flipped; of the first problems where none did. */
function tellingSamples(db: Connection, studyId: number): SampleRow[] {
  const query = sampleQuerySchema.parse({ studyId, limit: 400 });
  const flipped = querySamples(db, { ...query, flip: 'any' }).rows;
  const candidates = flipped.length > 0 ? flipped : querySamples(db, query).rows;
  const problems = new Map(candidates.map((row) => [`${row.benchmark}\u0000${row.problemId}\u0000${row.seed}`, row]));
  return [...problems.values()]
    .slice(0, shownProblems)
    .flatMap(({ benchmark, problemId, seed }) => compareSamples(db, { studyId, benchmark, problemId, seed }));
}
