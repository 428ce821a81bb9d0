import { describe, expect, it } from 'vitest';
import type { ModelInspection } from '#contract/records.ts';
import { parseScheme } from '#contract/scheme.ts';
import { shortBenchmarkNames } from '../../../../src-renderer/format/benchmarks.ts';
import { formatAgo } from '../../../../src-renderer/format/dates.ts';
import { baseName, freeName, joinPath, parentPath, safeFileName } from '../../../../src-renderer/format/paths.ts';
import { schemeSize } from '../../../../src-renderer/format/scheme-size.ts';
import { asSentence, plural } from '../../../../src-renderer/format/text.ts';

describe('names and paths', () => {
  it('joins and splits paths of either kind of system', () => {
    expect(joinPath('/home/me', 'a.roundoff')).toBe('/home/me/a.roundoff');
    expect(joinPath('C:\\Users\\me', 'a.roundoff')).toBe('C:\\Users\\me\\a.roundoff');
    expect(baseName('C:\\models\\Qwen3')).toBe('Qwen3');
    expect(baseName('sample:abacus')).toBe('abacus');
    expect(parentPath('/home/me/a.roundoff')).toBe('/home/me');
    expect(parentPath('/a.roundoff')).toBe('/');
  });

  it('finds free and safe file names', () => {
    expect(freeName('Sample study', '.roundoff', [])).toBe('Sample study.roundoff');
    expect(freeName('Sample study', '.roundoff', ['sample study.roundoff', 'Sample study 2.roundoff'])).toBe('Sample study 3.roundoff');
    expect(safeFileName('RTN/GPTQ: W2?')).toBe('RTN-GPTQ- W2-');
    expect(safeFileName('  ')).toBe('untitled');
  });

  it('shortens benchmark names by what all share', () => {
    expect([...shortBenchmarkNames(['abacus-sums', 'abacus-binary']).values()]).toEqual(['sums', 'binary']);
    expect([...shortBenchmarkNames(['abacus-sums']).values()]).toEqual(['abacus-sums']);
    expect([...shortBenchmarkNames(['math', 'math-hard']).values()]).toEqual(['math', 'math-hard']);
  });

  it('tidies texts and times', () => {
    expect(asSentence('its runtime pack is not installed')).toBe('Its runtime pack is not installed.');
    expect(asSentence('Done.')).toBe('Done.');
    expect([plural(1, 'run'), plural(1200, 'run')]).toEqual(['1 run', '1,200 runs']);
    const now = 1_700_000_000_000;
    const ago = [5_000, 60_000, 300_000, 7_200_000, 90_000_000].map((elapsedMs) => formatAgo(now - elapsedMs, now));
    expect(ago).toEqual(['just now', '1 minute ago', '5 minutes ago', '2 hours ago', 'yesterday']);
  });
});

describe('scheme sizes', () => {
  const model = {
    parameters: 1000 + 2 * (128 * (2 * 128 + 2 * 64) + 3 * 128 * 96),
    sizeBytes: 2 * (1000 + 2 * (128 * (2 * 128 + 2 * 64) + 3 * 128 * 96)),
    layers: 2,
    hiddenSize: 128,
    intermediateSize: 96,
    attentionHeads: 4,
    keyValueHeads: 2,
    headDim: 32,
    schemeSizes: [{ scheme: 'W4G32', sizeBytes: 4242, bitsPerWeight: 4.6, unsupported: null }],
  } as unknown as ModelInspection;

  it('states what the inspection lists and estimates the rest', () => {
    expect(schemeSize(model, { scheme: parseScheme('W4G32') })).toEqual({
      sizeBytes: 4242,
      bitsPerWeight: 4.6,
      unsupported: null,
      estimated: false,
    });
    const linear = model.parameters - 1000;
    const estimate = schemeSize(model, { scheme: parseScheme('W4G32:sym') });
    expect(estimate).toMatchObject({ estimated: true, unsupported: null, bitsPerWeight: 4.5 });
    expect(estimate.sizeBytes).toBeCloseTo((linear * 4.5) / 8 + 2000, 6);
  });

  it('knows codings, and that activations and cache take no room', () => {
    const linear = model.parameters - 1000;
    const bytes = (text: string) => schemeSize(model, { scheme: parseScheme(text) });
    expect(bytes('NF4').bitsPerWeight).toBeCloseTo(4.5, 9);
    expect(bytes('NF4').sizeBytes).toBeCloseTo((linear * 4.5) / 8 + 2000, 6);
    expect(bytes('NF4:double').bitsPerWeight).toBeCloseTo(4 + (8 + 32 / 256) / 64, 9);
    expect(bytes('NF4').unsupported).toBeNull();
    // q, k, v, gate and up have 128 inputs, o 128, down 96.
    const down = 2 * 128 * 96;
    expect(bytes('INT8').bitsPerWeight).toBeCloseTo(8 + ((linear - down) * (32 / 128) + down * (32 / 96)) / linear, 9);
    expect(bytes('W4G32A4KV4:asym')).toEqual(bytes('W4G32'));
  });

  it('counts every module under its own scheme', () => {
    const linear = model.parameters - 1000;
    const down = 2 * 128 * 96;
    const overrides = [
      { pattern: 'down_proj', scheme: parseScheme('W8:sym') },
      { pattern: 'layers.0.self_attn.*', scheme: null },
    ];
    const attention = 128 * (2 * 128 + 2 * 64);
    const { sizeBytes, bitsPerWeight } = schemeSize(model, { scheme: parseScheme('W2G32:sym'), overrides });
    const bits = (linear - down - attention) * 2.5 + down * (8 + 16 / 96);
    expect(sizeBytes).toBeCloseTo(bits / 8 + 2 * (1000 + attention), 6);
    expect(bitsPerWeight).toBeCloseTo(bits / (linear - attention), 9);
    expect(schemeSize(model, { scheme: parseScheme('W4G64'), overrides: [{ pattern: 'down_proj', scheme: null }] }).unsupported).toBeNull();
    expect(
      schemeSize(model, { scheme: parseScheme('W4'), overrides: [{ pattern: '*', scheme: parseScheme('W4G64') }] }).unsupported,
    ).toContain('96 inputs');
  });

  it('adds the head that QuaRot unties', () => {
    const tied = { ...model, tiedEmbeddings: true, vocabSize: 5 };
    const scheme = parseScheme('W4A4KV4');
    const sizes = (['gptq', 'quarot'] as const).map((method) => schemeSize(tied, { scheme, method }).sizeBytes);
    expect(sizes[1]! - sizes[0]!).toBeCloseTo(2 * 5 * 128, 6);
  });

  it('refuses groups that do not divide a layer, with the reason', () => {
    expect(schemeSize(model, { scheme: parseScheme('W4G64') }).unsupported).toContain('96 inputs');
    expect(schemeSize(model, { scheme: parseScheme('W4') }).unsupported).toBeNull();
  });
});
