/**
 * Quantization schemes and their written form: `W3G128`, `W4`, `W2G32:sym`, `W4A4KV4`, `NF4`, `INT8`.
 * A scheme says how numbers are coded; the method (RTN, GPTQ, …) says how the codes are chosen.
 */
import { z } from 'zod';
import { RoundoffError } from './errors.ts';

export const weightBits = [2, 3, 4, 5, 6, 7, 8] as const;
export type Bits = (typeof weightBits)[number];

const bitsSchema = z.union(weightBits.map((bits) => z.literal(bits)) as [z.ZodLiteral<2>, ...z.ZodLiteral<3 | 4 | 5 | 6 | 7 | 8>[]]);

export const quantizationSchemeSchema = z
  .strictObject({
    coding: z.enum(['nf4', 'int8']).optional(),
    bits: bitsSchema,
    symmetric: z.boolean(),
    /** `channel`: one scale per output row; `group`: one per `groupSize` consecutive inputs of a row. */
    strategy: z.enum(['channel', 'group']),
    groupSize: z.int().positive().nullable(),
    doubleQuantization: z.boolean().optional(),
    activationBits: bitsSchema.optional(),
    kvBits: bitsSchema.optional(),
  })
  .refine((scheme) => (scheme.strategy === 'group') === (scheme.groupSize !== null), {
    path: ['groupSize'],
    message: 'must be given for strategy "group", and null for "channel"',
  })
  .superRefine((scheme, context) => {
    if (!scheme.coding) {
      if (scheme.doubleQuantization !== undefined)
        context.addIssue({ code: 'custom', path: ['doubleQuantization'], message: 'belongs to coding "nf4" only' });
      return;
    }
    const fixed = { ...fixedSchemes[scheme.coding] } as Partial<QuantizationScheme>;
    for (const key of ['bits', 'symmetric', 'strategy', 'groupSize'] as const)
      if (scheme[key] !== fixed[key])
        context.addIssue({ code: 'custom', path: [key], message: `must be ${fixed[key]} for coding "${scheme.coding}"` });
    if (scheme.coding === 'int8' && scheme.activationBits !== undefined)
      context.addIssue({ code: 'custom', path: ['activationBits'], message: 'INT8 has its own 8-bit activations' });
  });

export interface QuantizationScheme {
  /**
   * How weights are coded: on an integer grid when left out; `nf4` is bitsandbytes' 4-bit NormalFloat in blocks of 64; `int8` is
   * LLM.int8(): 8-bit rows, and 8-bit activations apart from outliers.
   */
  coding?: 'nf4' | 'int8' | undefined;
  bits: Bits;
  symmetric: boolean;
  strategy: 'channel' | 'group';
  /** Inputs per group; null for `channel`. */
  groupSize: number | null;
  /** NF4 only: the block scales are themselves quantized to 8 bits. */
  doubleQuantization?: boolean | undefined;
  /** Bits of the inputs of every quantized linear, per token and dynamic; float when left out. */
  activationBits?: Bits | undefined;
  /** Bits of cached keys and values, per token and head; float when left out. */
  kvBits?: Bits | undefined;
}

const fixedSchemes = {
  nf4: { coding: 'nf4', bits: 4, symmetric: true, strategy: 'group', groupSize: 64 },
  int8: { coding: 'int8', bits: 8, symmetric: true, strategy: 'channel', groupSize: null },
} as const satisfies Record<string, QuantizationScheme>;

const integerPattern = /^W([2-8])(?:G([1-9]\d{0,4}))?(?:A([2-8]))?(?:KV([2-8]))?(?::(sym|asym))?$/i;
const codedPattern = /^(NF4|INT8)(?:KV([2-8]))?(?::(double))?$/i;

/**
 * Parses `W3G128`, `W2G32:sym`, `W4A4KV4`, `NF4`, `NF4:double`, `INT8`. Without a suffix, weights are asymmetric, but symmetric where
 * activations are quantized too (as in both papers' W4A4KV4). Throws `bad-input`.
 */
export function parseScheme(text: string): QuantizationScheme {
  const trimmed = text.trim();
  const scheme = parseInteger(trimmed) ?? parseCoded(trimmed);
  if (scheme) return scheme;
  throw new RoundoffError(
    'bad-input',
    `"${text}" is not a quantization scheme this version supports.`,
    'Write W<bits>[G<group size>][A<bits>][KV<bits>][:sym|:asym] with 2 to 8 bits, NF4[:double] or INT8; for example W3G128, W2G32:sym or W4A4KV4.',
  );
}

function parseInteger(text: string): QuantizationScheme | null {
  const match = integerPattern.exec(text);
  if (!match) return null;
  const [, bits, group, activations, kv, suffix] = match;
  const groupSize = group ? Number(group) : null;
  return {
    bits: Number(bits) as Bits,
    symmetric: suffix ? suffix.toLowerCase() === 'sym' : activations !== undefined,
    strategy: groupSize === null ? 'channel' : 'group',
    groupSize,
    ...(activations ? { activationBits: Number(activations) as Bits } : {}),
    ...(kv ? { kvBits: Number(kv) as Bits } : {}),
  };
}

function parseCoded(text: string): QuantizationScheme | null {
  const match = codedPattern.exec(text);
  if (!match) return null;
  const coding = match[1]!.toLowerCase() as 'nf4' | 'int8';
  if (match[3] && coding !== 'nf4') return null;
  return {
    ...fixedSchemes[coding],
    ...(match[3] ? { doubleQuantization: true } : {}),
    ...(match[2] ? { kvBits: Number(match[2]) as Bits } : {}),
  };
}

/** The shortest written form, which `parseScheme` reads back. */
export function formatScheme(scheme: QuantizationScheme): string {
  const kv = scheme.kvBits ? `KV${scheme.kvBits}` : '';
  if (scheme.coding) return `${scheme.coding.toUpperCase()}${kv}${scheme.doubleQuantization ? ':double' : ''}`;
  const group = scheme.groupSize === null ? '' : `G${scheme.groupSize}`;
  const activations = scheme.activationBits ? `A${scheme.activationBits}` : '';
  const usual = scheme.activationBits !== undefined;
  const suffix = scheme.symmetric === usual ? '' : scheme.symmetric ? ':sym' : ':asym';
  return `W${scheme.bits}${group}${activations}${kv}${suffix}`;
}

/**
 * Stored bits per weight of a linear with `inFeatures` inputs: the code, plus per group a 16-bit scale and, when asymmetric, a zero point
 * of `bits` bits. NF4 has a 32-bit scale per block of 64, or 8 bits and a second-level scale per 256 blocks; INT8 a 32-bit scale per row.
 */
export function bitsPerWeight(scheme: QuantizationScheme, inFeatures: number): number {
  if (scheme.coding === 'nf4') return 4 + (scheme.doubleQuantization ? 8 + 32 / 256 : 32) / 64;
  if (scheme.coding === 'int8') return 8 + 32 / inFeatures;
  const group = scheme.groupSize ?? inFeatures;
  return scheme.bits + (16 + (scheme.symmetric ? 0 : scheme.bits)) / Math.min(group, inFeatures);
}
