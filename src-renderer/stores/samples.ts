/** Pages of recorded samples, and one problem across all runs of a study. */
import { defineStore } from 'pinia';
import type { CommandInput } from '#contract/commands.ts';
import type { SamplePage, SampleRow } from '#contract/records.ts';
import { call } from '../api/index.ts';

export type SampleQuery = CommandInput<'samples.query'>;
export type SampleFilter = Required<Pick<SampleQuery, 'runId' | 'benchmark' | 'seed' | 'verdict' | 'flippedOnly' | 'text'>>;

export const emptySampleFilter: SampleFilter = { runId: null, benchmark: null, seed: null, verdict: null, flippedOnly: false, text: '' };

export const useSamplesStore = defineStore('samples', () => {
  const query = (input: SampleQuery): Promise<SamplePage> => call('samples.query', input);
  const compare = (studyId: number, sample: Pick<SampleRow, 'benchmark' | 'problemId' | 'seed'>): Promise<SampleRow[]> =>
    call('samples.compare', { studyId, benchmark: sample.benchmark, problemId: sample.problemId, seed: sample.seed });
  return { query, compare };
});
