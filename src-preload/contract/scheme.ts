/**
 * Quantization schemes and their written form: `W3G128`, `W4`, `W2G32:asym`.
 * A scheme says how weights are coded; the method (RTN, GPTQ, …) says how the codes are chosen.
 */
import { z } from 'zod';
import { RoundoffError } from './errors.ts';

export const weightBits = [2, 3, 4, 5, 6, 7, 8] as const;

export const quantizationSchemeSchema = z
  .strictObject({
    bits: z.union(weightBits.map((bits) => z.literal(bits)) as [z.ZodLiteral<2>, ...z.ZodLiteral<3 | 4 | 5 | 6 | 7 | 8>[]]),
    symmetric: z.boolean(),
    /** `channel`: one scale per output row; `group`: one per `groupSize` consecutive inputs of a row. */
    strategy: z.enum(['channel', 'group']),
    groupSize: z.int().positive().nullable(),
  })
  .refine((scheme) => (scheme.strategy === 'group') === (scheme.groupSize !== null), {
    path: ['groupSize'],
    message: 'must be given for strategy "group", and null for "channel"',
  });

export interface QuantizationScheme {
  bits: 2 | 3 | 4 | 5 | 6 | 7 | 8;
  symmetric: boolean;
  strategy: 'channel' | 'group';
  /** Inputs per group; null for `channel`. */
  groupSize: number | null;
}

const pattern = /^W([2-8])(?:G([1-9]\d{0,4}))?(?::(sym|asym))?$/i;

/** Parses `W3G128`, `W4`, `W2G32:sym`. Without a suffix the scheme is asymmetric. Throws `bad-input`. */
export function parseScheme(text: string): QuantizationScheme {
  const match = pattern.exec(text.trim());
  if (!match) {
    throw new RoundoffError(
      'bad-input',
      `"${text}" is not a quantization scheme this version supports.`,
      'Write W<bits>[G<group size>][:sym|:asym] with 2 to 8 bits, for example W3G128, W4 or W2G32:sym.',
    );
  }
  const groupSize = match[2] ? Number(match[2]) : null;
  return {
    bits: Number(match[1]) as QuantizationScheme['bits'],
    symmetric: match[3]?.toLowerCase() === 'sym',
    strategy: groupSize === null ? 'channel' : 'group',
    groupSize,
  };
}

/** The shortest written form; `:sym` is appended for symmetric schemes, asymmetric is the default. */
export function formatScheme(scheme: QuantizationScheme): string {
  const group = scheme.groupSize === null ? '' : `G${scheme.groupSize}`;
  return `W${scheme.bits}${group}${scheme.symmetric ? ':sym' : ''}`;
}

/**
 * Stored bits per weight of a linear with `inFeatures` inputs: the code, plus a 16-bit scale and, when asymmetric,
 * a zero point of `bits` bits per group.
 */
export function bitsPerWeight(scheme: QuantizationScheme, inFeatures: number): number {
  const group = scheme.groupSize ?? inFeatures;
  return scheme.bits + (16 + (scheme.symmetric ? 0 : scheme.bits)) / Math.min(group, inFeatures);
}
