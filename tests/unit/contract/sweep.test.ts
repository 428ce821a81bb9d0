import { describe, expect, it } from 'vitest';
import { compareSchemes, isWorthAMatrix, resultTone, schemeFamily, schemeMatrix, schemeWithinFamily } from '#contract/sweep.ts';
import { drop, row } from '../renderer/fixtures.ts';

describe('scheme families', () => {
  it.each([
    ['W3G128', 'W3', 'G128'],
    ['W3:sym', 'W3', 'channel sym'],
    ['W4A4KV4', 'W4A4KV4', 'channel'],
    ['W4G32A8KV8:asym', 'W4A8KV8', 'G32 asym'],
    ['NF4', 'NF4', 'single'],
    ['NF4:double', 'NF4', 'double'],
    ['INT8KV4', 'INT8KV4', ''],
    ['none', 'none', 'none'],
    ['mixed 2.5 bits', 'mixed 2.5 bits', 'mixed 2.5 bits'],
  ])('%s is of %s', (scheme, family, within) => {
    expect([schemeFamily(scheme), schemeWithinFamily(scheme)]).toEqual([family, within]);
  });

  it('stand with weights alone first, then by bits and finer groups', () => {
    const sorted = ['W2G128', 'W4A4KV4', 'mixed 2.5 bits', 'NF4:double', 'W4', 'W8', 'W8A8KV8', 'W4G32', 'INT8', 'NF4', 'W2G32'].sort(
      compareSchemes,
    );
    expect(sorted).toEqual(['W8', 'INT8', 'W4G32', 'W4', 'NF4', 'NF4:double', 'W2G32', 'W2G128', 'W8A8KV8', 'W4A4KV4', 'mixed 2.5 bits']);
  });
});

describe('the matrix of a sweep', () => {
  const rows = [
    row('baseline', { isBaseline: true, method: 'none', scheme: 'none' }),
    row('GPTQ W3G128'),
    row('GPTQ W3G128, general text', { method: 'gptq', scheme: 'W3G128' }),
    row('my favourite', { method: 'gptq', scheme: 'W3G128' }),
    row('NF4'),
    row('QuaRot W4A4KV4'),
  ];

  it('holds every variant once, apart from others of its method and scheme', () => {
    const matrix = schemeMatrix(rows);
    expect(matrix.columns).toEqual(['NF4', 'W3G128', 'W4A4KV4']);
    expect(matrix.families).toEqual([
      { family: 'NF4', columns: 1 },
      { family: 'W3', columns: 1 },
      { family: 'W4A4KV4', columns: 1 },
    ]);
    expect(matrix.lines.map(({ series, rows: cells }) => [series, cells.map((cell) => cell?.name ?? null)])).toEqual([
      ['GPTQ', [null, 'GPTQ W3G128', null]],
      ['GPTQ, general text', [null, 'GPTQ W3G128, general text', null]],
      ['my favourite', [null, 'my favourite', null]],
      ['NF4', ['NF4', null, null]],
      ['QuaRot', [null, null, 'QuaRot W4A4KV4']],
    ]);
    expect(isWorthAMatrix(matrix)).toBe(true);
    expect(isWorthAMatrix(schemeMatrix(rows.slice(0, 2)))).toBe(false);
  });

  it('has a line per seed where there are several', () => {
    const seeds = [row('GPTQ W3', { runId: 'a' }), row('GPTQ W3', { runId: 'b', seed: 43 })];
    expect(schemeMatrix(seeds).lines.map(({ series }) => series)).toEqual(['GPTQ, seed 42', 'GPTQ, seed 43']);
  });

  it('judges by the paired verdict first, then by what is left', () => {
    const tone = (verdict: 'better' | 'worse' | 'not distinguishable', recovery: number | null) =>
      resultTone({ drop: drop(0.1, verdict), recovery });
    expect(tone('better', 1.02)).toBe('better');
    expect(tone('not distinguishable', 0.7)).toBe('even');
    expect([0.99, 0.95, 0.9, 0.8, 0.6, 0.5, 0.2].map((share) => tone('worse', share))).toEqual([
      'loss-1',
      'loss-1',
      'loss-2',
      'loss-2',
      'loss-3',
      'loss-3',
      'loss-4',
    ]);
    expect([resultTone({ drop: null, recovery: null }), tone('worse', null)]).toEqual([null, null]);
  });
});
