/** Pages of recorded samples, and one problem across all runs of a study. */
import { defineStore } from 'pinia';
import type { CommandInput } from '#contract/commands.ts';
import type { SamplePage, SampleRow } from '#contract/records.ts';
import { call } from '../api/index.ts';

export const useSamplesStore = defineStore('samples', () => {
  const query = (input: CommandInput<'samples.query'>): Promise<SamplePage> => call('samples.query', input);
  const compare = (studyId: number, sample: Pick<SampleRow, 'benchmark' | 'problemId' | 'seed'>): Promise<SampleRow[]> =>
    call('samples.compare', { studyId, benchmark: sample.benchmark, problemId: sample.problemId, seed: sample.seed });
  return { query, compare };
});
