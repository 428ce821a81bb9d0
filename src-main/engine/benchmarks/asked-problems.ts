/**
 * A benchmark as it is put to a model under each seed: problems with the prompts of their kind. Seeds differ only where they order the choices;
 * otherwise all share the same prompts.
 */
import type { BenchmarkReference, ProblemKind } from '#contract/benchmarks.ts';
import { RoundoffError } from '#contract/errors.ts';
import type { EvaluationProtocol } from '#contract/protocol.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import { getVerifier, type Verifier } from '../verifiers/index.ts';
import { loadExamples } from './few-shot.ts';
import { loadBenchmark } from './load.ts';
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
  model: LanguageModel;
  tokenizer: ModelTokenizer;
  protocol: EvaluationProtocol;
}

/** Throws `dataset-invalid` and `bad-input`, as reading the benchmark and its examples does. */
export async function askBenchmark(reference: BenchmarkReference, asking: Asking, signal?: AbortSignal): Promise<AskedBenchmark> {
  const { model, tokenizer, protocol } = asking;
  const options = signal ? { signal } : {};
  const benchmark = await loadBenchmark({ ...reference, limit: protocol.problemsPerBenchmark }, options);
  const { name, kind, problems } = benchmark;
  if (kind === 'likelihood' || kind === 'text')
    throw new RoundoffError('internal', `"${name}" is scored by likelihood; nothing is generated for it.`, 'Score it by likelihood.');
  const examplesFor = await loadExamples(reference, kind, protocol, options);
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
