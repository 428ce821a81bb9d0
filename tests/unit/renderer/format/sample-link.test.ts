import { describe, expect, it } from 'vitest';
import { emptySampleFilter, filterFromLink, type SampleFilter, sampleLink } from '../../../../src-renderer/format/sample-link.ts';

const full: SampleFilter = {
  runId: 's1r2',
  benchmark: 'sums & more',
  seed: 42,
  verdict: 'truncated',
  flip: 'lost',
  agreement: 'other',
  finishReason: 'length',
  thinkingEnded: false,
  minTokens: 0,
  maxTokens: 900,
  text: 'two',
};

describe('sample links', () => {
  it('come back as the filter they were made from', () => {
    expect(filterFromLink(sampleLink(full))).toEqual(full);
    expect(filterFromLink(sampleLink({ ...full, thinkingEnded: true }))).toEqual({ ...full, thinkingEnded: true });
    expect(sampleLink(emptySampleFilter)).toEqual({});
    expect(filterFromLink({})).toEqual(emptySampleFilter);
  });

  it('leave out what no filter has', () => {
    expect(filterFromLink({ seed: '-1', min: '1e9', max: ['3'], verdict: 'wrong', flip: '', thinking: 'maybe', other: 'x' })).toEqual(
      emptySampleFilter,
    );
    expect(filterFromLink({ text: 'x'.repeat(300) }).text).toHaveLength(200);
  });
});
