import { describe, expect, it } from 'vitest';
import { bitsPerWeight, formatScheme, parseScheme, type QuantizationScheme, quantizationSchemeSchema } from '#contract/scheme.ts';

const channel = { strategy: 'channel', groupSize: null } as const;

describe('parseScheme', () => {
  it.each<[string, QuantizationScheme]>([
    ['W3G128', { bits: 3, symmetric: false, strategy: 'group', groupSize: 128 }],
    ['W4', { bits: 4, symmetric: false, ...channel }],
    ['W2G32:sym', { bits: 2, symmetric: true, strategy: 'group', groupSize: 32 }],
    // Both papers' W4A4KV4 has symmetric weights: with quantized activations that is what no suffix means.
    ['W4A4KV4', { bits: 4, symmetric: true, ...channel, activationBits: 4, kvBits: 4 }],
    ['W4A8:asym', { bits: 4, symmetric: false, ...channel, activationBits: 8 }],
    ['W4G64A4', { bits: 4, symmetric: true, strategy: 'group', groupSize: 64, activationBits: 4 }],
    ['W4KV4', { bits: 4, symmetric: false, ...channel, kvBits: 4 }],
    ['W8KV2:sym', { bits: 8, symmetric: true, ...channel, kvBits: 2 }],
    ['NF4', { coding: 'nf4', bits: 4, symmetric: true, strategy: 'group', groupSize: 64 }],
    ['NF4:double', { coding: 'nf4', bits: 4, symmetric: true, strategy: 'group', groupSize: 64, doubleQuantization: true }],
    ['NF4KV4:double', { coding: 'nf4', bits: 4, symmetric: true, strategy: 'group', groupSize: 64, doubleQuantization: true, kvBits: 4 }],
    ['INT8', { coding: 'int8', bits: 8, symmetric: true, ...channel }],
    ['INT8KV4', { coding: 'int8', bits: 8, symmetric: true, ...channel, kvBits: 4 }],
  ])('reads %s, and the schema accepts it', (text, scheme) => {
    expect(parseScheme(text)).toEqual(scheme);
    expect(parseScheme(` ${text.toLowerCase()} `)).toEqual(scheme);
    expect(quantizationSchemeSchema.parse(scheme)).toEqual(scheme);
    expect(formatScheme(scheme)).toBe(text);
  });

  it.each([
    '',
    'W1',
    'W9',
    'W16',
    'W4G0',
    'W4G012',
    'W4G100000',
    'W4A1',
    'W4A16',
    'W4KV9',
    'W4KV4A4',
    'A4',
    'KV4',
    'W4:double',
    'W4:symmetric',
    'NF4G64',
    'NF4A4',
    'NF4:sym',
    'NF4:double:double',
    'INT8A8',
    'INT8:double',
    'INT4',
    'NF3',
    'W4 G64',
    'xW4',
    'W4\nW4',
  ])('refuses %j, quoting it', (text) => {
    expect(() => parseScheme(text)).toThrow(
      expect.objectContaining({ code: 'bad-input', message: expect.stringContaining(`"${text}"`), hint: expect.stringContaining('NF4') }),
    );
  });
});

describe('formatScheme', () => {
  it('gives for every scheme a form that parseScheme reads back', () => {
    let count = 0;
    const optional = <T>(key: string, values: T[]) => [{}, ...values.map((value) => ({ [key]: value }))];
    for (const bits of [2, 3, 4, 5, 6, 7, 8] as const)
      for (const groupSize of [null, 16, 128])
        for (const symmetric of [true, false])
          for (const activations of optional('activationBits', [2, 4, 8]))
            for (const kv of optional('kvBits', [2, 4, 8])) {
              const strategy = groupSize === null ? 'channel' : 'group';
              const scheme = quantizationSchemeSchema.parse({ bits, symmetric, strategy, groupSize, ...activations, ...kv });
              expect(parseScheme(formatScheme(scheme))).toEqual(scheme);
              count++;
            }
    expect(count).toBe(7 * 3 * 2 * 4 * 4);
  });
});

describe('the schema', () => {
  const base = { bits: 4, symmetric: false, strategy: 'group', groupSize: 64 };
  it.each<[string, object, string]>([
    ['a group without its size', { ...base, groupSize: null }, 'groupSize'],
    ['a channel with a group size', { ...base, strategy: 'channel' }, 'groupSize'],
    ['a fraction of a bit', { ...base, bits: 3.5 }, 'bits'],
    ['16-bit activations', { ...base, activationBits: 16 }, 'activationBits'],
    ['double quantization of an integer grid', { ...base, doubleQuantization: true }, 'doubleQuantization'],
    ['NF4 in groups of 32', { ...base, symmetric: true, coding: 'nf4', groupSize: 32 }, 'groupSize'],
    ['NF4 of 8 bits', { ...base, symmetric: true, coding: 'nf4', bits: 8 }, 'bits'],
    ['asymmetric NF4', { ...base, coding: 'nf4' }, 'symmetric'],
    ['INT8 in groups', { ...base, symmetric: true, coding: 'int8', bits: 8 }, 'strategy'],
    [
      'INT8 with activations of other widths',
      { coding: 'int8', bits: 8, symmetric: true, strategy: 'channel', groupSize: null, activationBits: 4 },
      'activationBits',
    ],
    ['an unknown coding', { ...base, coding: 'fp4' }, 'coding'],
  ])('refuses %s at its place', (_, scheme, place) => {
    const parsed = quantizationSchemeSchema.safeParse(scheme);
    expect(parsed.error!.issues.map(({ path }) => path.join('.'))).toContain(place);
  });

  it('refuses fields it does not know', () => {
    expect(quantizationSchemeSchema.safeParse({ ...base, zeroPoint: 3 }).success).toBe(false);
  });
});

describe('bitsPerWeight', () => {
  it.each([
    ['W4', 1024, 4 + 20 / 1024],
    ['W3G128', 1024, 3 + 19 / 128],
    ['W2G32:sym', 1024, 2.5],
    ['W4G128', 64, 4 + 20 / 64],
    ['W4A4KV4', 512, 4 + 16 / 512],
    ['NF4', 1024, 4.5],
    ['NF4:double', 1024, 4 + (8 + 32 / 256) / 64],
    ['INT8', 1024, 8 + 32 / 1024],
  ])('of %s over %d inputs counts codes, scales and zero points', (text, inputs, expected) => {
    expect(bitsPerWeight(parseScheme(text), inputs)).toBeCloseTo(expected, 12);
  });
});
