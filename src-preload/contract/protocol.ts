/**
 * The evaluation protocol: everything that decides a score besides the weights. Frozen and hashed per study, so that two
 * numbers are compared only when they were measured the same way.
 */
import { z } from 'zod';
import { kindTemplatesSchema } from './prompt-templates.ts';

export { type BenchmarkReference, benchmarkReferenceSchema } from './benchmarks.ts';

/** When a benchmark may stop before its last problem. Looks at fixed numbers of problems make the outcome depend on the answers alone. */
export const precisionSchema = z.strictObject({
  /** Both limits of the 95 % interval lie this close to the accuracy or closer, in points. */
  points: z.number().gt(0).max(50),
  /** Problems between two looks, and before the first: an interval over few problems may be narrow by chance. */
  lookEvery: z.int().positive().default(50),
  leastProblems: z.int().positive().default(100),
});
export type Precision = z.infer<typeof precisionSchema>;

export const evaluationProtocolSchema = z.strictObject({
  /** 0 means greedy. */
  temperature: z.number().min(0).max(2),
  topP: z.number().gt(0).max(1),
  /** 0 means no top-k limit. */
  topK: z.int().min(0),
  maxNewTokens: z.int().positive(),
  /** One completion per problem and seed. */
  seeds: z.array(z.int().min(0)).min(1),
  systemPrompt: z.string().nullable(),
  /** Applied to each question before the chat template; `{question}` is replaced. */
  promptTemplate: z.string().refine((text) => text.includes('{question}'), 'must contain {question}'),
  /** Name and version of the verifier, e.g. `maths-1`. */
  verifier: z.string(),
  /** First N problems of each benchmark (file order), or all. */
  problemsPerBenchmark: z.int().positive().nullable(),
  // What follows is left out where it does not apply, so that the hashes of protocols without it stay what they were.
  /** Stop a benchmark once its accuracy is known this closely; every problem is evaluated without it. */
  precision: precisionSchema.optional(),
  /** Of multiple choice and code, which `promptTemplate` does not ask. */
  templates: kindTemplatesSchema.optional(),
  /** Name and version of the verifiers of multiple choice and code; `verifier` judges written answers. */
  verifiers: z.strictObject({ choice: z.string().optional(), code: z.string().optional() }).optional(),
  /** Said to chat templates that know thinking and answering at once; left to the template when absent. */
  thinking: z.boolean().optional(),
  /** Solved examples before each question, drawn by the seed from the file that the benchmark names for them. */
  fewShot: z.strictObject({ examples: z.int().min(1).max(64), seed: z.int().min(0) }).optional(),
  /** Tokens a text is read in at once, and by how many the next window begins later. */
  perplexity: z
    .strictObject({ window: z.int().min(2), stride: z.int().min(1) })
    .refine(({ window, stride }) => stride <= window, 'the stride must not exceed the window')
    .optional(),
});

export type EvaluationProtocol = z.infer<typeof evaluationProtocolSchema>;

/** JSON with sorted keys: equal objects give equal text, and so equal hashes. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (value !== null && typeof value === 'object') {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined);
    entries.sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(',')}}`;
  }
  return JSON.stringify(value);
}
