/** The TensorFlow runtime pack: whether it is installed, and an installation as it goes on. */
import { defineStore } from 'pinia';
import { computed, shallowRef } from 'vue';
import type { HostEvent } from '#contract/records.ts';
import type { RuntimeProgress } from '#contract/runtime.ts';
import { call } from '../api/index.ts';
import { useRequest } from '../composables/use-request.ts';
import { useAppStore } from './app.ts';

export const useRuntimeStore = defineStore('runtime', () => {
  const app = useAppStore();
  const progress = shallowRef<RuntimeProgress | null>(null);
  const status = useRequest(() => call('runtime.status', {}));
  const change = useRequest(async (kind: 'cpu' | 'cuda' | 'remove') => {
    await (kind === 'remove' ? call('runtime.remove', {}) : call('runtime.install', { cuda: kind === 'cuda' }));
  });

  /** Started here, or before the page was loaded. */
  const installing = computed(() => progress.value !== null || (status.data.value?.installing ?? false));
  /** From 0 to 1; null where the phase has no count. */
  const share = computed(() => {
    const { doneBytes, totalBytes } = progress.value ?? { doneBytes: null, totalBytes: null };
    return doneBytes === null || !totalBytes ? null : doneBytes / totalBytes;
  });
  const error = computed(() => (change.error.value?.code === 'cancelled' ? null : change.error.value));
  const cancel = () => call('runtime.cancel', {});

  function apply(event: HostEvent): void {
    if (event.type === 'runtime-progress') progress.value = event.progress;
    if (event.type === 'runtime-changed') {
      progress.value = null;
      status.data.value = event.status;
      void app.doctor.run();
    }
  }
  return { status, change, progress, installing, share, error, cancel, apply };
});
