import { describe, expect, it } from 'vitest';
import { splitCompletion } from '../../../../src-renderer/format/completion.ts';

describe('taking a completion apart', () => {
  it('separates thinking from the answer', () => {
    expect(splitCompletion('2+2?', '<think>\n2 and 2\n</think>\n\\boxed{4}')).toEqual({
      thinking: '2 and 2',
      thinkingClosed: true,
      answer: '\\boxed{4}',
    });
  });

  it('knows thinking that the prompt opened', () => {
    expect(splitCompletion('2+2?<think>\n', 'sum is 4</think>4')).toEqual({ thinking: 'sum is 4', thinkingClosed: true, answer: '4' });
    expect(splitCompletion('2+2?', 'sum is 4</think>4').thinking).toBe('sum is 4');
  });

  it('says when the thinking never ended', () => {
    expect(splitCompletion('2+2?', '<think>and on and on')).toEqual({ thinking: 'and on and on', thinkingClosed: false, answer: '' });
    expect(splitCompletion('2+2?<think>', 'on and on').thinkingClosed).toBe(false);
  });

  it('leaves a plain answer alone', () => {
    expect(splitCompletion('2+2?', ' 4 ')).toEqual({ thinking: null, thinkingClosed: true, answer: '4' });
  });
});
