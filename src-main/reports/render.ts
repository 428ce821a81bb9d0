/**
 * One entry for every report format that is text (`workbookReport` makes the one that is not). All of them show the same comparison; none computes numbers of its own.
 */
import type { TextReportFormat } from '#contract/commands.ts';
import type { StudyComparison } from '#contract/comparison.ts';
import type { SampleRow } from '#contract/records.ts';
import { csvReport } from './csv-report.ts';
import { htmlReport } from './html-report.ts';
import { jsonReport } from './json-report.ts';
import { latexReport } from './latex/index.ts';
import { markdownReport } from './markdown-report.ts';

export interface ReportOptions {
  /** Completions to show (HTML, JSON). Rows of the same problem and seed are shown side by side. */
  samples?: readonly SampleRow[];
}

/** The report as text, UTF-8. */
export function renderReport(comparison: StudyComparison, format: TextReportFormat, options: ReportOptions = {}): string {
  const samples = options.samples ?? [];
  switch (format) {
    case 'html':
      return htmlReport(comparison, samples);
    case 'tex':
      return latexReport(comparison);
    case 'csv':
      return csvReport(comparison);
    case 'md':
      return markdownReport(comparison);
    case 'json':
      return jsonReport(comparison, samples);
  }
}
