/**
 * The comparison itself as JSON, with a format name and version so that readers can tell what they have.
 */
import type { StudyComparison } from '#contract/comparison.ts';
import type { SampleRow } from '#contract/records.ts';

import { studyResolution } from './resolution.ts';

export const jsonReportFormat = 'roundoff-comparison';
export const jsonReportVersion = 1;

export function jsonReport(comparison: StudyComparison, samples: readonly SampleRow[]): string {
  const report = {
    format: jsonReportFormat,
    version: jsonReportVersion,
    comparison,
    resolution: studyResolution(comparison),
    ...(samples.length > 0 ? { samples } : {}),
  };
  return `${JSON.stringify(report, null, 2)}\n`;
}
