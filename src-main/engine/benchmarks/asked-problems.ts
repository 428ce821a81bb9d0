/**
 * A benchmark as it is put to a model under each seed: problems with the prompts of their kind. Seeds differ only where they order the choices;
 * otherwise all share the same prompts.
 */
import type { BenchmarkReference, ProblemKind } from '#contract/benchmarks.ts';
import type { EvaluationProtocol } from '#contract/protocol.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import { getVerifier, type Verifier } from '../verifiers/index.ts';
import { loadExamples } from './few-shot.ts';
import type { Benchmark } from './load.ts';
import { type Problem, withSeededOrder } from './problem.ts';
import { type Prompt, renderPrompts } from './prompts.ts';

export interface AskedProblem {
  problem: Problem;
  prompt: Prompt;
}

export interface AskedBenchmark {
  name: string;
  kind: ProblemKind;
  problems: readonly Problem[];
  /** In file order. Throws `bad-input`, listing every prompt that does not fit. */
  under(seed: number): AskedProblem[];
}

interface Asking {
  model: Pick<LanguageModel, 'config'>;
  tokenizer: ModelTokenizer;
  protocol: EvaluationProtocol;
}

/** Throws `dataset-invalid` and `bad-input`, as reading the file of examples does. */
export async function askBenchmark(
  reference: BenchmarkReference,
  benchmark: Benchmark,
  asking: Asking,
  signal?: AbortSignal,
): Promise<AskedBenchmark> {
  const { model, tokenizer, protocol } = asking;
  const { name, kind, problems } = benchmark;
  const examplesFor = await loadExamples(reference, kind, protocol, signal ? { signal } : {});
  const ask = (list: readonly Problem[]): AskedProblem[] => {
    const prompts = renderPrompts({ name, problems: list }, protocol, tokenizer, model.config.contextLength, { kind, examplesFor });
    return list.map((problem, index) => ({ problem, prompt: prompts[index]! }));
  };
  let shared: AskedProblem[] | null = null;
  const isOrdered = problems.some((problem) => problem.seededOrder);
  const under = (seed: number): AskedProblem[] => {
    if (isOrdered) return ask(problems.map((problem) => withSeededOrder(problem, seed)));
    shared ??= ask(problems);
    return shared;
  };
  return { name, kind, problems, under };
}

/** The verifier a protocol names for a kind of problem. `protocol` is a complete one. Throws `bad-input` for an unknown verifier. */
export function verifierFor(kind: ProblemKind, protocol: EvaluationProtocol): Verifier {
  return getVerifier(kind === 'choice' || kind === 'code' ? (protocol.verifiers?.[kind] ?? '') : protocol.verifier);
}
