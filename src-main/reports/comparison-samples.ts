/**
 * Recorded samples grouped by run, benchmark and problem, and the result of one benchmark computed from them.
 */
import type { BenchmarkResult } from '#contract/comparison.ts';
import type { Verdict } from '#contract/worker.ts';
import { accuracyInterval, type ProblemPair, pairedDifference } from '../engine/statistics/index.ts';

/** One recorded sample: run, benchmark, protocol seed, problem, verdict, generated tokens. */
export type CompactSample = readonly [
  runId: string,
  benchmark: string,
  seed: number,
  problemId: string,
  verdict: Verdict,
  completionTokens: number,
];

export interface BenchmarkSamples {
  count: number;
  tokens: number;
  verdicts: Record<Verdict, number>;
  seeds: Set<number>;
  /** Problem → protocol seed → right or wrong. */
  problems: Map<string, Map<number, boolean>>;
}

/** Run → benchmark → its samples. */
export type RunSamples = Map<string, Map<string, BenchmarkSamples>>;

/** A sample recorded twice (a run resumed while its last batch was in flight) counts once: the first stands. */
export function groupSamples(samples: Iterable<CompactSample>): RunSamples {
  const runs: RunSamples = new Map();
  for (const [runId, benchmark, seed, problemId, verdict, tokens] of samples) {
    const group = getOrAdd(
      getOrAdd(runs, runId, () => new Map<string, BenchmarkSamples>()),
      benchmark,
      emptyBenchmark,
    );
    const answers = getOrAdd(group.problems, problemId, () => new Map<number, boolean>());
    if (answers.has(seed)) continue;
    answers.set(seed, verdict === 'correct');
    group.count += 1;
    group.tokens += tokens;
    group.verdicts[verdict] += 1;
    group.seeds.add(seed);
  }
  return runs;
}

/**
 * Accuracy with interval, and the paired difference where the baseline has samples of the same problems and seeds. Problems are
 * taken in the order of their ids, so that equal samples give equal numbers to the last bit, whatever order they were recorded in.
 */
export function benchmarkResult(benchmark: string, own: BenchmarkSamples, baseline: BenchmarkSamples | undefined): BenchmarkResult {
  const scores = sortedProblems(own).map(([, answers]) => ({
    correct: [...answers.values()].filter(Boolean).length,
    samples: answers.size,
  }));
  const pairs = baseline ? pairProblems(own, baseline) : [];
  return {
    benchmark,
    accuracy: accuracyInterval(scores),
    problems: own.problems.size,
    seeds: [...own.seeds].sort((a, b) => a - b),
    verdicts: { ...own.verdicts },
    meanTokens: own.tokens / own.count,
    versusBaseline: pairs.length > 0 ? pairedDifference(pairs) : null,
  };
}

function pairProblems(own: BenchmarkSamples, baseline: BenchmarkSamples): ProblemPair[] {
  const problems: ProblemPair[] = [];
  for (const [problemId, answers] of sortedProblems(own)) {
    const reference = baseline.problems.get(problemId);
    if (!reference) continue;
    const pair = { pairs: 0, gained: 0, lost: 0 };
    for (const [seed, correct] of answers) {
      const before = reference.get(seed);
      if (before === undefined) continue;
      pair.pairs += 1;
      if (correct && !before) pair.gained += 1;
      if (!correct && before) pair.lost += 1;
    }
    if (pair.pairs > 0) problems.push(pair);
  }
  return problems;
}

function sortedProblems(samples: BenchmarkSamples): [problemId: string, answers: Map<number, boolean>][] {
  return [...samples.problems].sort(([a], [b]) => (a < b ? -1 : 1));
}

function emptyBenchmark(): BenchmarkSamples {
  return {
    count: 0,
    tokens: 0,
    verdicts: { correct: 0, incorrect: 0, unparsed: 0, truncated: 0 },
    seeds: new Set(),
    problems: new Map(),
  };
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, create: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const value = create();
  map.set(key, value);
  return value;
}
