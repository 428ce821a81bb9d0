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
    expect(schemeSize(model, parseScheme('W4G32'))).toEqual({ sizeBytes: 4242, bitsPerWeight: 4.6, unsupported: null, estimated: false });
    const linear = model.parameters - 1000;
    const estimate = schemeSize(model, parseScheme('W4G32:sym'));
    expect(estimate).toMatchObject({ estimated: true, unsupported: null, bitsPerWeight: 4.5 });
    expect(estimate.sizeBytes).toBeCloseTo((linear * 4.5) / 8 + 2000, 6);
  });

  it('refuses groups that do not divide a layer, with the reason', () => {
    expect(schemeSize(model, parseScheme('W4G64')).unsupported).toContain('96 inputs');
    expect(schemeSize(model, parseScheme('W4')).unsupported).toBeNull();
  });
});
