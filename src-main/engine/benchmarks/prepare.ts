/**
 * Everything of an evaluation that can be known, and can fail, before anything is computed: benchmarks read and checked, the protocol completed,
 * prompts and windows made. Benchmarks are asked (generated and judged), compared (likeliest ending) or, as texts, only scored.
 */
import { isText, type ProblemKind } from '#contract/benchmarks.ts';
import { completeProtocol } from '#contract/prompt-templates.ts';
import type { BenchmarkReference, EvaluationProtocol } from '#contract/protocol.ts';
import { throwIfCancelled } from '../data/cancellation.ts';
import { readText } from '../data/whole-text.ts';
import { type EndingsInput, type PreparedProblem, prepareEndings } from '../likelihood/choices.ts';
import { type TextInput, windowsOf } from '../likelihood/perplexity.ts';
import type { ScoredSequence } from '../likelihood/score-sequences.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import { type AskedBenchmark, askBenchmark } from './asked-problems.ts';
import { type Benchmark, loadBenchmark } from './load.ts';
import { seededOrder } from './problem-order.ts';

export interface EvaluationInput {
  model: LanguageModel;
  tokenizer: ModelTokenizer;
  protocol: EvaluationProtocol;
  /** Paths are absolute. */
  benchmarks: readonly BenchmarkReference[];
}

export interface PreparedEvaluation {
  /** With everything said that the kinds leave open. */
  protocol: EvaluationProtocol;
  /** Of what is asked. */
  kinds: Set<ProblemKind>;
  asked: AskedBenchmark[];
  compared: { input: EndingsInput; problems: PreparedProblem[] }[];
  texts: { input: TextInput; windows: ScoredSequence[] }[];
}

/** Throws `dataset-invalid` and the like, `bad-input` (prompts and windows that do not fit), `cancelled`. */
export async function prepareEvaluation(input: EvaluationInput, signal?: AbortSignal): Promise<PreparedEvaluation> {
  const { model, tokenizer } = input;
  const loaded: { reference: BenchmarkReference; benchmark: Benchmark }[] = [];
  const options = signal ? { signal } : {};
  for (const reference of input.benchmarks.filter((each) => !isText(each)))
    loaded.push({ reference, benchmark: await loadBenchmark({ ...reference, limit: input.protocol.problemsPerBenchmark }, options) });
  const texts = input.benchmarks.filter(isText);
  const all = [...loaded.map(({ benchmark }) => benchmark.kind), ...texts.map((): ProblemKind => 'text')];
  const protocol = completeProtocol(input.protocol, all);
  const prepared: PreparedEvaluation = { protocol, kinds: new Set(), asked: [], compared: [], texts: [] };
  for (const { reference, benchmark } of loaded) {
    const { name, kind, problems } = benchmark;
    if (kind === 'likelihood') {
      const seed = protocol.seeds[0]!;
      const endings = { model, tokenizer, benchmark: name, problems: seededOrder(problems, seed, name), seed };
      prepared.compared.push({ input: endings, problems: prepareEndings(endings) });
    } else {
      prepared.kinds.add(kind);
      prepared.asked.push(await askBenchmark(reference, benchmark, { model, tokenizer, protocol }, signal));
    }
  }
  for (const { name, path } of texts) {
    const text = { model, tokenizer, benchmark: name, text: await readText(path, signal), ...protocol.perplexity! };
    prepared.texts.push({ input: text, windows: windowsOf(text) });
  }
  throwIfCancelled(signal, 'The evaluation');
  return prepared;
}
