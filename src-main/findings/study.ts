/** The frame of a findings study: models, benchmarks, protocol and seeds; each paper adds its variants. */
import { type StudySpec, type StudyVariant, studySpecSchema } from '#contract/recipe.ts';

const benchmarks = ['sums', 'binary', 'products', 'divisors', 'chains'];

export interface FindingsFrame {
  name: string;
  description: string;
  models: string[];
  variants: StudyVariant[];
  quick: boolean;
}

export function findingsSpec({ name, description, models, variants, quick }: FindingsFrame): StudySpec {
  return studySpecSchema.parse({
    ...{ name: quick ? `${name} (quick)` : name, description, models, variants },
    seeds: quick ? [1, 2] : [1, 2, 3],
    benchmarks: benchmarks.map((task) => ({ name: task, path: `sample:benchmarks/abacus-${task}.jsonl` })),
    protocol: {
      ...{ temperature: 0.6, topP: 0.95, topK: 0, maxNewTokens: 256, systemPrompt: null, promptTemplate: '{question}' },
      ...{ verifier: 'maths-1', seeds: quick ? [42] : [42, 43, 44], problemsPerBenchmark: quick ? 20 : null },
    },
    backend: 'auto',
  });
}
