/**
 * Study comparisons and the reports made from them.
 */
export { buildComparison, type CompactSample, type ComparisonInput, type ComparisonRun } from './comparison.ts';
export { type Finding, findings } from './findings.ts';
export { type ReportOptions, renderReport } from './render.ts';
export { studyResolution, type WantedResolution, wantedByDefault } from './resolution.ts';
export { workbookReport } from './workbook/index.ts';
