import { describe, expect, it } from 'vitest';
import { familyCounts, filterRows, groupRows, methodCounts, noFilter } from '../../../../src-renderer/components/comparison/row-filter.ts';
import { row } from '../fixtures.ts';

const rows = [
  row('baseline', { isBaseline: true, method: 'none', scheme: 'none' }),
  row('RTN W3G128'),
  row('GPTQ W3G32'),
  row('GPTQ W4A4KV4'),
  row('QuaRot W4A4KV4'),
  row('NF4:double'),
];
const names = (list: { name: string }[]) => list.map(({ name }) => name);

describe('filtering a comparison', () => {
  it('keeps the baseline whatever is chosen', () => {
    expect(names(filterRows(rows, { ...noFilter(), methods: ['gptq'] }))).toEqual(['baseline', 'GPTQ W3G32', 'GPTQ W4A4KV4']);
    expect(names(filterRows(rows, { ...noFilter(), families: ['W3', 'NF4'] }))).toEqual([
      'baseline',
      'RTN W3G128',
      'GPTQ W3G32',
      'NF4:double',
    ]);
    expect(names(filterRows(rows, { methods: ['gptq'], families: ['W4A4KV4'], text: '' }))).toEqual(['baseline', 'GPTQ W4A4KV4']);
    expect(names(filterRows(rows, { ...noFilter(), text: 'kv4 qua' }))).toEqual(['baseline', 'QuaRot W4A4KV4']);
    expect(filterRows(rows, noFilter())).toEqual(rows);
  });

  it('counts methods as they appear and families by bits', () => {
    expect([...methodCounts(rows)]).toEqual([
      ['rtn', 1],
      ['gptq', 2],
      ['quarot', 1],
      ['nf4', 1],
    ]);
    expect([...familyCounts(rows)]).toEqual([
      ['NF4', 1],
      ['W3', 2],
      ['W4A4KV4', 2],
    ]);
  });

  it('puts rows under headings, none lost', () => {
    expect(groupRows(rows, 'method').map(({ title, rows: own }) => [title, names(own)])).toEqual([
      ['', ['baseline']],
      ['RTN', ['RTN W3G128']],
      ['GPTQ', ['GPTQ W3G32', 'GPTQ W4A4KV4']],
      ['QuaRot', ['QuaRot W4A4KV4']],
      ['NF4', ['NF4:double']],
    ]);
    expect(groupRows(rows, 'family').map(({ title }) => title)).toEqual(['', 'NF4', 'W3', 'W4A4KV4']);
    expect(groupRows(rows, 'none')).toEqual([{ title: '', rows }]);
  });
});
