import { describe, expect, it } from 'vitest';
import { type AlignedLine, alignTexts } from '../../../../src-renderer/format/align-texts.ts';

const sideOf = (lines: readonly AlignedLine[], side: 'left' | 'right') =>
  lines.flatMap((line) => line[side]?.map((piece) => piece.text).join('') ?? []);
const marked = (lines: readonly AlignedLine[], side: 'left' | 'right') =>
  lines.flatMap((line) => line[side]?.filter((piece) => piece.changed).map((piece) => piece.text.trim()) ?? []);

describe('alignTexts', () => {
  const left = 'First add the ones. 7+5=12\nThen the tens.\nSo it is 42.\n</think>\\boxed{42}';
  const right = 'First add the ones. 7+5=13\nThen the tens.\nCarry the one.\nSo it is 43.\n</think>\\boxed{43}';

  it('keeps every sentence of both sides, in order', () => {
    const { lines, aligned } = alignTexts(left, right);
    expect(aligned).toBe(true);
    expect(sideOf(lines, 'left')).toEqual(['First add the ones.', '7+5=12', 'Then the tens.', 'So it is 42.', '</think>\\boxed{42}']);
    expect(sideOf(lines, 'right')).toEqual([
      'First add the ones.',
      '7+5=13',
      'Then the tens.',
      'Carry the one.',
      'So it is 43.',
      '</think>\\boxed{43}',
    ]);
  });

  it('marks the words that differ, and nothing in equal sentences', () => {
    const { lines, shared } = alignTexts(left, right);
    expect(marked(lines, 'left')).toContain('12');
    expect(marked(lines, 'right')).toContain('13');
    expect(marked(lines, 'right').join()).not.toContain('tens');
    expect(lines.filter((line) => !line.changed)).toHaveLength(2);
    expect(shared).toBeCloseTo(33 / 78, 1);
  });

  it('says when the texts are the same, or empty', () => {
    expect(alignTexts(left, left)).toMatchObject({ shared: 1, aligned: true });
    expect(alignTexts('', '').lines).toEqual([]);
    expect(alignTexts('', 'One.').lines).toEqual([{ left: null, right: [{ text: 'One.', changed: true }], changed: true }]);
  });

  it('gives up on long texts without anything in common, in bounded time, but keeps their common start', () => {
    const sentence = (seed: number) => Array.from({ length: 20_000 }, (_, index) => `Step ${seed} of ${(index * 7919 * seed) % 100_003}.`);
    const start = 'Let us begin.\n';
    const before = performance.now();
    const { lines, aligned } = alignTexts(start + sentence(3).join('\n'), start + sentence(5).join('\n'));
    expect(performance.now() - before).toBeLessThan(20_000);
    expect(aligned).toBe(false);
    expect(lines).toHaveLength(20_001);
    expect(lines[0]!.changed).toBe(false);
  });
});
