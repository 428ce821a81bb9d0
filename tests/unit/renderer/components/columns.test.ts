import { describe, expect, it } from 'vitest';
import { change, comparisonColumns, isStringList, sortRows } from '../../../../src-renderer/components/comparison/columns.ts';
import { drop, row } from '../fixtures.ts';

const columns = comparisonColumns(['abacus-sums', 'abacus-chains']);
const rows = [
  row('baseline', { isBaseline: true, accuracy: { 'abacus-sums': 0.9, 'abacus-chains': 0.6 } }),
  row('GPTQ W2G32', { accuracy: { 'abacus-sums': 0.8, 'abacus-chains': 0.5 }, drop: drop(0.1, 'worse'), sizeBytes: 370 }),
  row('RTN W3', { status: 'running', sizeBytes: null }),
  row('GPTQ W4', { accuracy: { 'abacus-sums': 0.9, 'abacus-chains': 0.7 }, drop: drop(-0.05, 'better'), sizeBytes: 530 }),
];
const names = (key: string, descending: boolean) => sortRows(rows, columns, { key, descending }).map(({ name }) => name);

describe('the comparison table', () => {
  it('has a column per benchmark under its short name', () => {
    expect(columns.slice(0, 2).map(({ label, title }) => [label, title])).toEqual([
      ['sums', 'abacus-sums'],
      ['chains', 'abacus-chains'],
    ]);
  });

  it('sorts by any column and keeps rows without a value last', () => {
    expect(names('benchmark:abacus-chains', true)).toEqual(['GPTQ W4', 'baseline', 'GPTQ W2G32', 'RTN W3']);
    expect(names('benchmark:abacus-chains', false)).toEqual(['GPTQ W2G32', 'baseline', 'GPTQ W4', 'RTN W3']);
    expect(names('change', true).slice(0, 2)).toEqual(['GPTQ W4', 'GPTQ W2G32']);
    expect(names('name', false)).toEqual(['GPTQ W2G32', 'GPTQ W4', 'RTN W3', 'baseline']);
    expect(sortRows(rows, columns, null)).toEqual(rows);
  });

  it('shows a drop as a change with the other sign', () => {
    expect(change(rows[1]!)).toEqual({ value: -0.1, low: expect.closeTo(-0.13), high: expect.closeTo(-0.08) });
    expect(change(rows[0]!)).toBeNull();
  });

  it('takes only a list of texts as stored preference', () => {
    expect([['a'], [1], 'a', null].map(isStringList)).toEqual([true, false, false, false]);
  });
});
