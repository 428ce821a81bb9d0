/** A sample filter as the query of an address, so that cells of tables can lead to the completions they count. */
import { agreements, finishReasons, flips, type SampleQuery, verdictNames } from '#contract/sample-query.ts';

export type SampleFilter = Omit<SampleQuery, 'studyId' | 'offset' | 'limit'>;

export const emptySampleFilter: SampleFilter = {
  runId: null,
  benchmark: null,
  seed: null,
  verdict: null,
  flip: null,
  agreement: null,
  finishReason: null,
  thinkingEnded: null,
  minTokens: null,
  maxTokens: null,
  text: '',
};

/** What differs from no filter, under the names of the address. */
export function sampleLink(filter: Partial<SampleFilter>): Record<string, string> {
  const { runId, benchmark, seed, verdict, flip, agreement, finishReason, thinkingEnded, minTokens, maxTokens, text } = filter;
  const entries: [string, string | number | null | undefined][] = [
    ['run', runId],
    ['benchmark', benchmark],
    ['seed', seed],
    ['verdict', verdict],
    ['flip', flip],
    ['agreement', agreement],
    ['finish', finishReason],
    ['thinking', thinkingEnded == null ? null : thinkingEnded ? 'ended' : 'open'],
    ['min', minTokens],
    ['max', maxTokens],
    ['text', text === '' ? null : text],
  ];
  return Object.fromEntries(entries.flatMap(([name, value]) => (value == null ? [] : [[name, String(value)]])));
}

/** Unknown names and values that no filter has are left out. */
export function filterFromLink(query: Readonly<Record<string, unknown>>): SampleFilter {
  const text = (name: string) => (typeof query[name] === 'string' && query[name] !== '' ? query[name] : null);
  const whole = (name: string) => (/^\d{1,15}$/.test(text(name) ?? '') ? Number(query[name]) : null);
  const oneOf = <T extends string>(name: string, values: readonly T[]) => values.find((value) => value === query[name]) ?? null;
  const thinking = oneOf('thinking', ['ended', 'open']);
  return {
    runId: text('run'),
    benchmark: text('benchmark'),
    seed: whole('seed'),
    verdict: oneOf('verdict', verdictNames),
    flip: oneOf('flip', flips),
    agreement: oneOf('agreement', agreements),
    finishReason: oneOf('finish', finishReasons),
    thinkingEnded: thinking && thinking === 'ended',
    minTokens: whole('min'),
    maxTokens: whole('max'),
    text: text('text')?.slice(0, 200) ?? '',
  };
}
