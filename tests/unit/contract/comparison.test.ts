import { describe, expect, it } from 'vitest';
import { methodsTitle, nameAddition, plainTitle, seriesName } from '#contract/comparison.ts';

const variant = (name: string) => ({ name, method: 'gptq', scheme: 'W3G128' });

describe('what a name adds to method and scheme', () => {
  it.each([
    ['GPTQ W3G128', '', 'GPTQ'],
    ['gptq w3g128', '', 'GPTQ'],
    ['GPTQ W3G128, general text', 'general text', 'GPTQ, general text'],
    ['GPTQ W3G128 – act-order', 'act-order', 'GPTQ, act-order'],
    ['my favourite', 'my favourite', 'GPTQ'],
  ])('%s', (name, addition, series) => {
    expect(nameAddition(variant(name))).toBe(addition);
    expect(seriesName(variant(name))).toBe(series);
  });
});

describe('titles of methods and variants', () => {
  it.each([
    ['rtn', 'W4', 'RTN', 'RTN W4'],
    ['nf4', 'NF4:double', 'NF4', 'NF4:double'],
    ['int8', 'INT8', 'INT8', 'INT8'],
    ['quarot', 'W4A4KV4', 'QuaRot', 'QuaRot W4A4KV4'],
    ['flatquant', 'W4A4KV4', 'FlatQuant', 'FlatQuant W4A4KV4'],
    ['quarot + gptq', 'W4', 'QuaRot + GPTQ', 'QuaRot + GPTQ W4'],
    ['none', 'none', 'Baseline', 'Baseline'],
    ['newer', 'W4', 'NEWER', 'NEWER W4'],
  ])('%s %s', (method, scheme, title, plain) => {
    expect(methodsTitle(method)).toBe(title);
    expect(plainTitle({ method, scheme })).toBe(plain);
    expect(nameAddition({ name: plain, method, scheme })).toBe('');
    expect(nameAddition({ name: `${plain}, down_proj W8`, method, scheme })).toBe('down_proj W8');
    expect(seriesName({ name: plain, method, scheme })).toBe(title);
  });

  it('takes a longer scheme for another name', () => {
    expect(nameAddition({ name: 'GPTQ W3G128', method: 'gptq', scheme: 'W3' })).toBe('GPTQ W3G128');
  });
});
