/** One figure for how good a model is by now, as training asks for it every few steps: not a result, which evaluates all problems and seeds. */
import type { BenchmarkReference, EvaluationProtocol } from '#contract/protocol.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import { evaluateModel } from './evaluate.ts';

export interface AccuracySettings {
  tokenizer: ModelTokenizer;
  protocol: EvaluationProtocol;
  /** Paths are absolute. */
  benchmarks: readonly BenchmarkReference[];
  /** First N problems of each benchmark. */
  problems: number;
  signal?: AbortSignal;
  onLog?(message: string): void;
}

/** Share of correct completions over the first problems of each benchmark, one completion each, with the protocol's first seed. */
export async function accuracyOf(model: LanguageModel, settings: AccuracySettings): Promise<number> {
  const { tokenizer, benchmarks, problems, signal, onLog } = settings;
  const { precision: _all, ...rest } = settings.protocol;
  const protocol = { ...rest, seeds: rest.seeds.slice(0, 1), problemsPerBenchmark: problems };
  let correct = 0;
  let total = 0;
  await evaluateModel(
    { model, tokenizer, protocol, benchmarks },
    {
      recordedSamples: [],
      ...(signal ? { signal } : {}),
      ...(onLog ? { onLog } : {}),
      onSample: ({ verdict }) => {
        total++;
        if (verdict === 'correct') correct++;
      },
    },
  );
  return correct / total;
}
