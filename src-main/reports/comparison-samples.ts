/**
 * Recorded samples grouped by run, benchmark and problem, and the result of one benchmark computed from them.
 */
import type { BenchmarkDifference, BenchmarkResult } from '#contract/comparison.ts';
import type { FinishReason, Verdict } from '#contract/worker.ts';
import {
  accuracyInterval,
  disagreement,
  mcNemarTest,
  type ProblemPair,
  pairedBootstrap,
  pairedDifference,
  passAtK,
} from '../engine/statistics/index.ts';
import { type Answer, failureBreakdown } from './failures.ts';

/** One recorded sample: run, benchmark, protocol seed, problem, verdict, generated tokens, how it ended, and what was read from it. */
export type CompactSample = readonly [
  runId: string,
  benchmark: string,
  seed: number,
  problemId: string,
  verdict: Verdict,
  completionTokens: number,
  finishReason: FinishReason,
  thinkingEnded: 0 | 1,
  extracted: string | null,
];

export interface BenchmarkSamples {
  count: number;
  tokens: number;
  verdicts: Record<Verdict, number>;
  seeds: Set<number>;
  /** Problem → protocol seed → answer. */
  problems: Map<string, Map<number, Answer>>;
}

/** Run → benchmark → its samples. */
export type RunSamples = Map<string, Map<string, BenchmarkSamples>>;

/** A sample recorded twice (a run resumed while its last batch was in flight) counts once: the first stands. */
export function groupSamples(samples: Iterable<CompactSample>): RunSamples {
  const runs: RunSamples = new Map();
  for (const [runId, benchmark, seed, problemId, verdict, tokens, finishReason, thinkingEnded, extracted] of samples) {
    const group = getOrAdd(
      getOrAdd(runs, runId, () => new Map<string, BenchmarkSamples>()),
      benchmark,
      emptyBenchmark,
    );
    const answers = getOrAdd(group.problems, problemId, () => new Map<number, Answer>());
    if (answers.has(seed)) continue;
    answers.set(seed, { verdict, tokens, finishReason, thinkingEnded: thinkingEnded === 1, extracted });
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
  const problems = sortedProblems(own);
  const scores = problems.map(([, answers]) => ({
    correct: [...answers.values()].filter(({ verdict }) => verdict === 'correct').length,
    samples: answers.size,
  }));
  const k = Math.min(...scores.map((score) => score.samples));
  return {
    benchmark,
    accuracy: accuracyInterval(scores),
    problems: own.problems.size,
    seeds: [...own.seeds].sort((a, b) => a - b),
    passAtK: k > 1 ? { k, ...passAtK(scores, k) } : null,
    verdicts: { ...own.verdicts },
    meanTokens: own.tokens / own.count,
    versusBaseline: baseline ? differenceFrom(pairProblems(own, baseline)) : null,
    failures: failureBreakdown(problems, baseline?.problems),
  };
}

function differenceFrom(pairs: readonly ProblemPair[]): BenchmarkDifference | null {
  if (pairs.length === 0) return null;
  const limits = pairedBootstrap(pairs);
  return {
    ...pairedDifference(pairs),
    test: mcNemarTest(pairs),
    bootstrap: limits && { low: limits.low, high: limits.high },
    disagreement: disagreement(pairs),
  };
}

/** The pairs of every problem that both have answered under at least one common seed. */
export function pairProblems(own: BenchmarkSamples, baseline: BenchmarkSamples): ProblemPair[] {
  const problems: ProblemPair[] = [];
  for (const [problemId, answers] of sortedProblems(own)) {
    const reference = baseline.problems.get(problemId);
    if (!reference) continue;
    const pair = { pairs: 0, gained: 0, lost: 0 };
    for (const [seed, { verdict }] of answers) {
      const before = reference.get(seed);
      if (before === undefined) continue;
      pair.pairs += 1;
      if (verdict === 'correct' && before.verdict !== 'correct') pair.gained += 1;
      if (verdict !== 'correct' && before.verdict === 'correct') pair.lost += 1;
    }
    if (pair.pairs > 0) problems.push(pair);
  }
  return problems;
}

function sortedProblems(samples: BenchmarkSamples): [problemId: string, answers: Map<number, Answer>][] {
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
