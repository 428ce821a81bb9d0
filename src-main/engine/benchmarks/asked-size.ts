/** How much an evaluation asks, before a model is loaded: completions, the longest prompt, and whether anything is scored by likelihood. */
import { answersPerProblem, isText } from '#contract/benchmarks.ts';
import { completeProtocol } from '#contract/prompt-templates.ts';
import type { BenchmarkReference, EvaluationProtocol } from '#contract/protocol.ts';
import type { ModelConfig } from '../model/config.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import { askBenchmark } from './asked-problems.ts';
import { loadBenchmark } from './load.ts';
import type { Problem } from './problem.ts';

export interface AskedSize {
  completions: number;
  /** Tokens of the longest prompt; 0 where nothing is asked. */
  longestPrompt: number;
  isScored: boolean;
}

/** Of each benchmark so many problems with the longest texts are looked at: one of them has the longest prompt. */
const lookedAt = 32;

/** Benchmarks have absolute paths. Throws what reading them throws, and `bad-input` for prompts that do not fit the context. */
export async function askedSize(
  { benchmarks, protocol: given }: { benchmarks: readonly BenchmarkReference[]; protocol: EvaluationProtocol },
  config: ModelConfig,
  tokenizer: ModelTokenizer,
): Promise<AskedSize> {
  const size: AskedSize = { completions: 0, longestPrompt: 0, isScored: benchmarks.some(isText) };
  for (const reference of benchmarks.filter((each) => !isText(each))) {
    const benchmark = await loadBenchmark({ ...reference, limit: given.problemsPerBenchmark });
    if (benchmark.kind === 'likelihood') {
      size.isScored = true;
      continue;
    }
    size.completions += benchmark.problems.length * answersPerProblem(benchmark.kind, given.seeds.length);
    const problems = [...benchmark.problems].sort((a, b) => characters(b) - characters(a)).slice(0, lookedAt);
    const protocol = completeProtocol(given, [benchmark.kind]);
    const asked = await askBenchmark(reference, { ...benchmark, problems }, { model: { config }, tokenizer, protocol });
    const prompts = asked.under(protocol.seeds[0]!).map(({ prompt }) => prompt.ids.length);
    size.longestPrompt = Math.max(size.longestPrompt, ...prompts);
  }
  return size;
}

function characters({ question, choices = [], starterCode = '' }: Problem): number {
  return question.length + starterCode.length + choices.reduce((sum, { length }) => sum + length, 0);
}
