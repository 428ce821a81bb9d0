import { describe, expect, it } from 'vitest';
import { philox } from '../../../../src-main/engine/data/philox.ts';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';

describe('philox', () => {
  // Known answers of Random123's kat_vectors.
  it.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ])('encrypts %j', (counter, key, expected) => {
    const block = Uint32Array.from(counter);
    philox(block, key[0]!, key[1]!);
    expect([...block]).toEqual(expected);
  });
});

describe('RandomStream', () => {
  const draws = (stream: RandomStream, count: number) => Array.from({ length: count }, () => stream.uniform());

  it('repeats itself, and differs by seed and by name', () => {
    const first = draws(new RandomStream(7, 'a'), 5);
    expect(draws(new RandomStream(7, 'a'), 5)).toEqual(first);
    for (const other of [new RandomStream(8, 'a'), new RandomStream(7, 'b'), new RandomStream(7), new RandomStream(7 + 2 ** 40, 'a')]) {
      expect(draws(other, 5)).not.toEqual(first);
    }
  });

  it('does not confuse names that join or pad to the same text', () => {
    const paths = [['ab', 'c'], ['a', 'bc'], ['abc'], ['abc', ''], ['abc\0'], ['']];
    const firsts = paths.map((path) => new RandomStream(1, ...path).uniform());
    expect(new Set(firsts).size).toBe(paths.length);
  });

  it('gives draw n without the draws before it, and continues from a stored position', () => {
    const all = draws(new RandomStream(3, 'x'), 9);
    expect(new RandomStream(3, 'x').uniformAt(6)).toBe(all[6]);
    const resumed = new RandomStream(3, 'x');
    resumed.position = 4;
    expect(draws(resumed, 5)).toEqual(all.slice(4));
  });

  it('forks by name, whatever was drawn before', () => {
    const parent = new RandomStream(5, 'data');
    const early = parent.fork('noise').uniform();
    draws(parent, 3);
    expect(parent.fork('noise').uniform()).toBe(early);
    expect(new RandomStream(5, 'data', 'noise').uniform()).toBe(early);
  });

  it('draws uniformly: 64 cells, 64,000 draws', () => {
    const stream = new RandomStream(11);
    const counts = new Float64Array(64);
    for (let n = 0; n < 64_000; n++) counts[Math.floor(stream.uniform() * 64)]!++;
    const chiSquare = counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    expect(chiSquare).toBeGreaterThan(35); // 0.2 % and 99.8 % points of chi-square with 63 degrees of freedom
    expect(chiSquare).toBeLessThan(100);
  });

  it('draws integers from both ends of the range', () => {
    const stream = new RandomStream(2);
    const seen = new Set(Array.from({ length: 200 }, () => stream.integer(-2, 3)));
    expect([...seen].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2, 3]);
    expect(stream.integer(9, 9)).toBe(9);
  });

  it('draws normal values of the right moments', () => {
    const values = new RandomStream(4, 'normal').normals(40_000, 2);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    const beyond = values.filter((value) => Math.abs(value) > 4).length / values.length;
    expect(Math.abs(mean)).toBeLessThan(0.04);
    expect(Math.abs(variance - 4)).toBeLessThan(0.12);
    expect(Math.abs(beyond - 0.0455)).toBeLessThan(0.004);
  });

  it('shuffles every item into every place about equally often', () => {
    const stream = new RandomStream(6);
    const counts = Array.from({ length: 4 }, () => [0, 0, 0, 0]);
    for (let n = 0; n < 4000; n++) {
      for (const [place, item] of stream.shuffle([0, 1, 2, 3]).entries()) counts[item]![place]!++;
    }
    for (const count of counts.flat()) expect(Math.abs(count - 1000)).toBeLessThan(110);
  });

  it('refuses seeds and ranges it cannot honour', () => {
    for (const seed of [-1, 0.5, Number.NaN, 2 ** 53]) expect(() => new RandomStream(seed)).toThrow(/seed/);
    expect(() => new RandomStream(0).integer(2, 1)).toThrow(/integers/);
  });
});
