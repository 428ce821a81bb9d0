/** What `evaluate` measured, benchmark by benchmark, and as a table. */
import type { SampleResult, TextWindow, Verdict } from '#contract/worker.ts';
import { accuracyInterval } from '../engine/statistics/index.ts';
import { count, percentInterval } from '../reports/format.ts';
import { perplexityResult } from '../reports/perplexity.ts';
import { textTable } from './terminal.ts';

export function benchmarkResult(benchmark: string, all: readonly SampleResult[]) {
  const own = all.filter((sample) => sample.benchmark === benchmark);
  const problems = new Map<string, { correct: number; samples: number }>();
  const verdicts: Record<Verdict, number> = { correct: 0, incorrect: 0, unparsed: 0, truncated: 0 };
  for (const { problemId, verdict } of own) {
    const score = problems.get(problemId) ?? { correct: 0, samples: 0 };
    problems.set(problemId, { correct: score.correct + (verdict === 'correct' ? 1 : 0), samples: score.samples + 1 });
    verdicts[verdict]++;
  }
  const seeds = [...new Set(own.map(({ seed }) => seed))].sort((a, b) => a - b);
  return { benchmark, accuracy: accuracyInterval([...problems.values()]), problems: problems.size, seeds, verdicts };
}

export function textResult(name: string, all: readonly TextWindow[]) {
  const own = all.filter((window) => window.benchmark === name);
  const { perplexity, nats, tokens, windows } = perplexityResult(name, own, undefined, true)!;
  return { text: name, perplexity, nats, tokens, windows };
}

export function resultTable(
  benchmarks: readonly ReturnType<typeof benchmarkResult>[],
  texts: readonly ReturnType<typeof textResult>[],
): string {
  const accuracies = textTable(
    ['benchmark', 'accuracy [95 %]', 'problems', 'seeds', 'correct', 'incorrect', 'unparsed', 'truncated'],
    benchmarks.map(({ benchmark, accuracy, problems, seeds, verdicts }) =>
      [benchmark, percentInterval(accuracy), problems, seeds.length, ...Object.values(verdicts)].map(String),
    ),
    new Set([2, 3, 4, 5, 6, 7]),
  );
  const perplexities = textTable(
    ['text', 'perplexity (lower is better)', 'tokens', 'windows'],
    texts.map(({ text, perplexity, tokens, windows }) => [text, perplexity.toFixed(4), count(tokens), count(windows)]),
    new Set([1, 2, 3]),
  );
  return [...(benchmarks.length > 0 ? [accuracies] : []), ...(texts.length > 0 ? [perplexities] : [])].join('\n\n');
}
