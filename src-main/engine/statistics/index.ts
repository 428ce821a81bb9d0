/**
 * Statistics of evaluations: accuracies with intervals, paired differences against the baseline with their tests, averages over
 * benchmarks, and what a number of problems can show.
 */
export { accuracyInterval, averageIntervals, clusteredVariance, marginOf, type ProblemScore, wilsonInterval } from './accuracy.ts';
export { type BootstrapSettings, pairedBootstrap } from './bootstrap.ts';
export { holm } from './holm.ts';
export { mcNemarTest, meanDifferenceTest } from './mcnemar.ts';
export { meanInterval } from './mean.ts';
export { normalCdf, normalQuantile, normalTwoSided } from './normal.ts';
export { averageDrop, type ProblemPair, pairedDifference } from './paired.ts';
export { passAtK } from './pass-at-k.ts';
export {
  detectableDifference,
  disagreement,
  independentDisagreement,
  powerOf,
  type ResolutionPart,
  type ResolutionSettings,
  requiredGrowth,
  requiredProblems,
  resolutionDefaults,
} from './resolution.ts';
export { incompleteBeta, studentCdf, studentQuantile95 } from './student-t.ts';
