/** A study's report, with completions of the problems on which a quantized model lost or gained an answer. */
import type { ReportFormat } from '#contract/commands.ts';
import type { SampleRow, StudyRecord } from '#contract/records.ts';
import { sampleQuerySchema } from '#contract/sample-query.ts';
import type { Connection } from '../project/connection.ts';
import { querySamples } from '../project/repositories/sample-query.ts';
import { compareSamples } from '../project/repositories/samples.ts';
import { renderReport } from '../reports/index.ts';
import { compareStudy } from '../runs/compare-study.ts';

const shownProblems = 8;

export function renderStudyReport(db: Connection, study: StudyRecord, format: ReportFormat): string {
  const samples = format === 'html' || format === 'json' ? tellingSamples(db, study.id) : [];
  return renderReport(compareStudy(db, study), format, { samples });
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
