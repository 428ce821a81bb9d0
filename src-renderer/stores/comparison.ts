/** The comparison of the study being looked at. Refreshed while its runs go on. */
import { defineStore } from 'pinia';
import { ref, shallowRef } from 'vue';
import type { CommandOutput, ReportFormat } from '#contract/commands.ts';
import type { StudyComparison } from '#contract/comparison.ts';
import { type ErrorInfo, toErrorInfo } from '#contract/errors.ts';
import type { HostEvent } from '#contract/records.ts';
import { call } from '../api/index.ts';
import { throttle } from '../composables/throttle.ts';

export const useComparisonStore = defineStore('comparison', () => {
  const studyId = ref<number | null>(null);
  const comparison = shallowRef<StudyComparison | null>(null);
  const error = shallowRef<ErrorInfo | null>(null);
  /** Screens that show it now; without any it is not refreshed, `open` does so anyway. */
  let viewers = 0;

  async function open(id: number): Promise<void> {
    if (studyId.value !== id) {
      studyId.value = id;
      comparison.value = null;
      error.value = null;
    }
    await reload();
  }
  async function reload(): Promise<void> {
    const id = studyId.value;
    if (id === null) return;
    try {
      const loaded = await call('studies.show', { studyId: id });
      if (studyId.value !== id) return;
      comparison.value = loaded;
      error.value = null;
    } catch (thrown) {
      if (studyId.value === id) error.value = toErrorInfo(thrown);
    }
  }
  const reloadSoon = throttle(2500, () => void reload());

  const exportReport = (format: ReportFormat, path: string): Promise<CommandOutput<'reports.export'>> => {
    if (studyId.value === null) throw new Error('no study is open');
    return call('reports.export', { studyId: studyId.value, format, path });
  };

  const resolution = (wanted: { difference: number; power: number }): Promise<CommandOutput<'studies.resolution'>> => {
    if (studyId.value === null) throw new Error('no study is open');
    return call('studies.resolution', { studyId: studyId.value, ...wanted });
  };

  function apply(event: HostEvent): void {
    if (event.type === 'project-changed') close();
    if (studyId.value === null || viewers === 0) return;
    if (event.type === 'study-changed' && event.study.id === studyId.value) reloadSoon();
    if (event.type === 'run-changed' && event.run.studyId === studyId.value) reloadSoon();
    const ownRun = event.type === 'run-events' && comparison.value?.rows.some((row) => row.runId === event.runId);
    if (ownRun && event.events.some((item) => item.type === 'sample' || item.type === 'stage-finished')) reloadSoon();
  }
  function close(): void {
    reloadSoon.cancel();
    studyId.value = null;
    comparison.value = null;
    error.value = null;
  }

  function enter(): void {
    viewers += 1;
  }
  function leave(): void {
    viewers -= 1;
  }

  return { studyId, comparison, error, open, reload, close, enter, leave, exportReport, resolution, apply };
});
