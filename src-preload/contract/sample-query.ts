/**
 * Which recorded completions are wanted: by what they are, and by how they differ from the baseline's of the same problem and seed.
 */
import { z } from 'zod';

export const verdictNames = ['correct', 'incorrect', 'unparsed', 'truncated'] as const;
/** Lost: right in the baseline, wrong here. */
export const flips = ['any', 'lost', 'gained'] as const;
/** Whether the extracted answer is the baseline's, as text; `other` also where one of the two has none. */
export const agreements = ['same', 'other'] as const;
export const finishReasons = ['stop', 'length'] as const;

const tokens = z.int().min(0).nullable().default(null);

export const sampleQuerySchema = z.strictObject({
  studyId: z.int(),
  runId: z.string().min(1).max(64).nullable().default(null),
  benchmark: z.string().nullable().default(null),
  seed: z.int().nullable().default(null),
  verdict: z.enum(verdictNames).nullable().default(null),
  flip: z.enum(flips).nullable().default(null),
  agreement: z.enum(agreements).nullable().default(null),
  finishReason: z.enum(finishReasons).nullable().default(null),
  thinkingEnded: z.boolean().nullable().default(null),
  minTokens: tokens,
  maxTokens: tokens,
  /** Occurs in the prompt, the completion or the problem's name, whatever the case. */
  text: z.string().max(200).default(''),
  offset: z.int().min(0).default(0),
  limit: z.int().min(1).max(500).default(50),
});

export type SampleQuery = z.output<typeof sampleQuerySchema>;
