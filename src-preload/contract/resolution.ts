/**
 * What a study could have seen: the smallest difference from the baseline that its problems and seeds show reliably, and how many problems
 * a wanted one would need.
 */
import { z } from 'zod';
import type { Interval, PairedVerdict } from './comparison.ts';

/** Chance of a false alarm when there is no difference; two-sided, as everywhere in a comparison. */
export const resolutionLevel = 0.05;

export const resolutionQuerySchema = z.strictObject({
  studyId: z.int(),
  /** Wanted, as a share: 0.02 for two points. */
  difference: z.number().gt(0).max(1).default(0.02),
  /** Chance of finding it when it is there. */
  power: z.number().min(0.5).max(0.999).default(0.8),
});

export interface Resolution {
  problems: number;
  /** Null when not even a difference of 1 would be seen. */
  detectable: number | null;
  /** For the wanted difference. */
  requiredProblems: number;
  /** Chance of finding differences of rising size. */
  curve: { difference: number; power: number }[];
}

export interface BenchmarkResolution extends Resolution {
  benchmark: string;
  disagreement: number;
}

export interface RunResolution {
  runId: string;
  run: string;
  seeds: number;
  /** What was measured, on average; null while incomplete. */
  change: (Interval & { verdict: PairedVerdict }) | null;
  benchmarks: BenchmarkResolution[];
  /** Of the average; null while incomplete. `requiredProblems` counts all benchmarks, grown alike. */
  average: Resolution | null;
}

export interface StudyResolution {
  difference: number;
  power: number;
  rows: RunResolution[];
}
