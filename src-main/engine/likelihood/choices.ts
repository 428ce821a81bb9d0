/**
 * Problems whose answer is the likeliest of given endings (WinoGrande, HellaSwag): log-probability of each ending after its context, divided
 * by its length in characters, the largest wins. As lm-evaluation-harness scores them (`acc_norm`); for endings that are alike, as
 * WinoGrande's are, the length does not matter. Nothing is generated, no chat template is used, and no seed is involved.
 */
import { RoundoffError } from '#contract/errors.ts';
import type { SampleResult } from '#contract/worker.ts';
import { choiceLetter, type Problem } from '../benchmarks/problem.ts';
import { throwIfCancelled } from '../data/cancellation.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import { batchesOf, type ScoredSequence, scoreSequences } from './score-sequences.ts';

export interface EndingsInput {
  model: LanguageModel;
  tokenizer: ModelTokenizer;
  benchmark: string;
  problems: readonly Problem[];
  /** Samples are recorded under it. */
  seed: number;
}

export interface EndingsOptions {
  /** Ids of problems that are recorded already. */
  recorded: ReadonlySet<string>;
  signal?: AbortSignal | undefined;
  onSample(sample: SampleResult): void;
}

export interface PreparedProblem {
  problem: Problem;
  sequences: ScoredSequence[];
}

/** Scores what is not recorded. Throws `cancelled`. */
export async function scoreEndings(
  input: EndingsInput,
  prepared: readonly PreparedProblem[],
  { recorded, signal, onSample }: EndingsOptions,
): Promise<void> {
  const batches = batchesOf(prepared, ({ sequences }) => sequences.reduce((sum, { ids }) => sum + ids.length, 0));
  for (const batch of batches) {
    if (batch.every(({ problem }) => recorded.has(problem.id))) continue;
    throwIfCancelled(signal, 'The evaluation');
    const scores = await scoreSequences(
      input.model,
      batch.flatMap(({ sequences }) => sequences),
    );
    let next = 0;
    for (const { problem, sequences } of batch) {
      const own = scores.slice(next, next + sequences.length);
      next += sequences.length;
      if (!recorded.has(problem.id)) onSample(toSample(input, problem, sequences, own));
    }
  }
}

/**
 * Tokens of context and ending together; what the context alone is encoded as counts as context. Throws `bad-input`, listing every problem that
 * does not fit.
 */
export function prepareEndings({ model, tokenizer, benchmark, problems }: EndingsInput): PreparedProblem[] {
  const failures: RoundoffError[] = [];
  const prepared = problems.flatMap((problem): PreparedProblem[] => {
    try {
      return [{ problem, sequences: problem.choices!.map((ending, index) => sequenceOf(problem, ending, index, model, tokenizer)) }];
    } catch (error) {
      if (!(error instanceof RoundoffError)) throw error;
      failures.push(new RoundoffError(error.code, `${benchmark}, problem ${problem.id}: ${error.message}`, error.hint, { cause: error }));
      return [];
    }
  });
  const first = failures[0];
  if (!first) return prepared;
  const more = failures.length > 1 ? ` (and ${failures.length - 1} more problems)` : '';
  throw new RoundoffError(first.code, `${first.message}${more}`, first.hint, { problems: failures.map(({ message }) => message) });
}

function sequenceOf(problem: Problem, ending: string, index: number, model: LanguageModel, tokenizer: ModelTokenizer): ScoredSequence {
  const context = problem.contexts?.[index] ?? problem.question;
  const ids = tokenizer.encode(`${context}${ending}`);
  const from = Math.min(tokenizer.encode(context).length, ids.length - 1);
  if (ids.length > model.config.contextLength)
    throw new RoundoffError(
      'bad-input',
      `context and ending of ${ids.length} tokens exceed the model's context of ${model.config.contextLength}.`,
      'Leave such problems out.',
    );
  return { ids, from: Math.max(1, from) };
}

function toSample(input: EndingsInput, problem: Problem, sequences: readonly ScoredSequence[], scores: readonly number[]): SampleResult {
  const choices = problem.choices!;
  const normalised = scores.map((score, index) => score / choices[index]!.trim().length);
  const best = normalised.indexOf(Math.max(...normalised));
  const extracted = choiceLetter(best);
  return {
    benchmark: input.benchmark,
    seed: input.seed,
    problemId: problem.id,
    prompt: `${problem.question}\n\n${choices.map((ending, index) => `${choiceLetter(index)}) …${ending}`).join('\n')}`,
    completion: choices
      .map(
        (ending, index) =>
          `${choiceLetter(index)}) ${scores[index]!.toFixed(4)} nats, ${normalised[index]!.toFixed(5)} per character:${ending}`,
      )
      .join('\n'),
    gold: problem.gold,
    extracted,
    verdict: extracted === problem.gold ? 'correct' : 'incorrect',
    detail: null,
    completionTokens: sequences.reduce((sum, { ids, from }) => sum + ids.length - from, 0),
    finishReason: 'stop',
  };
}
