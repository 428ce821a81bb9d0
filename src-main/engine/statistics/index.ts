/**
 * Statistics of evaluations: accuracies with intervals, paired differences against the baseline, averages over benchmarks.
 */
export { accuracyInterval, averageIntervals, clusteredVariance, type ProblemScore } from './accuracy.ts';
export { averageDrop, mcNemarExact, type ProblemPair, pairedDifference } from './paired.ts';
export { studentCdf, studentQuantile95 } from './student-t.ts';
