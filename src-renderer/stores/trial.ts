/** The trial of the study that the wizard drafts: how far it is, and what it found, as long as the study stays what it was. */
import { defineStore } from 'pinia';
import { computed, ref, shallowRef } from 'vue';
import { type ErrorInfo, toErrorInfo } from '#contract/errors.ts';
import type { StudyTrial, TrialProgress } from '#contract/preflight.ts';
import type { StudySpec } from '#contract/recipe.ts';
import type { HostEvent } from '#contract/records.ts';
import { call } from '../api/index.ts';

export const useTrialStore = defineStore('trial', () => {
  const running = ref(false);
  const progress = shallowRef<TrialProgress | null>(null);
  const error = shallowRef<ErrorInfo | null>(null);
  const found = shallowRef<{ key: string; trial: StudyTrial } | null>(null);

  /** What was found for this very study. */
  const trialOf = (spec: StudySpec): StudyTrial | null => (found.value?.key === keyOf(spec) ? found.value.trial : null);
  const share = computed(() => (progress.value ? progress.value.done / Math.max(1, progress.value.total) : 0));

  async function start(spec: StudySpec): Promise<void> {
    running.value = true;
    progress.value = null;
    error.value = null;
    try {
      found.value = { key: keyOf(spec), trial: await call('studies.try', { spec }) };
    } catch (failure) {
      const info = toErrorInfo(failure);
      if (info.code !== 'cancelled') error.value = info;
    } finally {
      running.value = false;
    }
  }
  const cancel = () => call('studies.cancelTrial', {});
  function apply(event: HostEvent): void {
    if (event.type === 'trial-progress') progress.value = event.progress;
    if (event.type === 'project-changed') {
      found.value = null;
      error.value = null;
    }
  }
  return { running, progress, share, error, trialOf, start, cancel, apply };
});

/** A name or description changes nothing that is executed. */
function keyOf(spec: StudySpec): string {
  return JSON.stringify({ ...spec, name: '', description: '' });
}
