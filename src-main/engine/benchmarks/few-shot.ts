/**
 * Solved examples for prompts: drawn by the protocol's seed from a file of the benchmark's own kind, never the problem that is asked. The same
 * examples stand before every problem, in the same order.
 */
import type { BenchmarkReference, ProblemKind } from '#contract/benchmarks.ts';
import { RoundoffError } from '#contract/errors.ts';
import type { EvaluationProtocol } from '#contract/protocol.ts';
import { RandomStream } from '../data/random-stream.ts';
import { loadBenchmark } from './load.ts';
import { type Problem, withSeededOrder } from './problem.ts';
import { askQuestion, type SolvedExample } from './prompts.ts';

/**
 * What stands before a problem. Throws `bad-input` when the benchmark names no file of examples, when that is of another kind or has too few,
 * and as `loadBenchmark` does.
 */
export async function loadExamples(
  reference: BenchmarkReference,
  kind: ProblemKind,
  protocol: EvaluationProtocol,
  options: { signal?: AbortSignal } = {},
): Promise<(problem: Problem) => SolvedExample[]> {
  const { fewShot } = protocol;
  if (!fewShot) return () => [];
  const { name, examples: path } = reference;
  if (path === undefined)
    throw new RoundoffError(
      'bad-input',
      `The protocol asks for ${fewShot.examples} solved examples, but "${name}" names no file to take them from.`,
      'Name one for the benchmark, such as its training split, or ask without examples.',
    );
  if (kind !== 'maths' && kind !== 'choice')
    throw new RoundoffError('bad-input', `"${name}" is asked without examples: it is of the kind ${kind}.`, 'Leave the examples out.');
  const benchmark = await loadBenchmark({ ...sourceOf(reference, path), limit: null, solutions: true }, options);
  if (benchmark.kind !== kind || benchmark.problems.length <= fewShot.examples)
    throw new RoundoffError(
      'bad-input',
      `${path} does not give ${fewShot.examples} examples for "${name}": it has ${benchmark.problems.length} problems of the kind ${benchmark.kind}.`,
      'Choose a file of the same kind with more problems than examples.',
    );
  const order = new RandomStream(fewShot.seed, 'examples', name).shuffle(benchmark.problems);
  const drawn = order.slice(0, fewShot.examples + 1).map((problem) => withSeededOrder(problem, fewShot.seed));
  const solved = drawn.map((problem) => ({ asked: problem.question, example: solve(problem, kind, protocol) }));
  return ({ question }) =>
    solved
      .filter(({ asked }) => asked !== question)
      .slice(0, fewShot.examples)
      .map(({ example }) => example);
}

/** `FILE`, or `FILE#SPLIT`; read with the benchmark's own columns. */
function sourceOf({ name, columns, kind }: BenchmarkReference, text: string): BenchmarkReference {
  const at = text.lastIndexOf('#');
  const [path, split] = at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
  return { name: `examples of ${name}`, path, ...(split ? { split } : {}), ...(columns ? { columns } : {}), ...(kind ? { kind } : {}) };
}

/** The worked solution where the file has one, ending in the answer as the prompt asks for it. */
function solve(problem: Problem, kind: ProblemKind, protocol: EvaluationProtocol): SolvedExample {
  const { gold, solution = '' } = problem;
  const ending = kind === 'choice' ? `Answer: ${gold}` : solution.includes('\\boxed') ? '' : `\\boxed{${gold}}`;
  return { question: askQuestion(problem, kind, protocol), answer: [solution, ending].filter((part) => part !== '').join('\n\n') };
}
