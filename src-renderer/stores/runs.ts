/** All runs of the open project, as a list. Kept current from `run-changed` and the runs' own progress events. */
import { defineStore } from 'pinia';
import { computed, ref, shallowRef } from 'vue';
import { finalRunStatuses, type HostEvent, type RunRecord } from '#contract/records.ts';
import { call } from '../api/index.ts';
import { foldRun } from './run-fold.ts';
import { queueOf, sortRuns } from './run-order.ts';

export const useRunsStore = defineStore('runs', () => {
  const byId = shallowRef(new Map<string, RunRecord>());
  const known = ref(false);
  const list = computed(() => sortRuns([...byId.value.values()]));
  const queue = computed(() => queueOf([...byId.value.values()]));

  async function load(): Promise<void> {
    const runs = await call('runs.list', { studyId: null });
    byId.value = new Map(runs.map((run) => [run.id, run]));
    known.value = true;
  }
  async function cancel(runId: string): Promise<void> {
    put(await call('runs.cancel', { runId }));
  }
  async function resume(runId: string): Promise<void> {
    put(await call('runs.resume', { runId }));
  }
  const isActive = (run: RunRecord): boolean => !finalRunStatuses.includes(run.status);

  function put(run: RunRecord): void {
    byId.value = new Map(byId.value).set(run.id, run);
  }
  function apply(event: HostEvent): void {
    if (event.type === 'project-changed') clear();
    if (event.type === 'run-changed') put(event.run);
    if (event.type !== 'run-events') return;
    const run = byId.value.get(event.runId);
    if (!run) return;
    const fresh = event.events.filter((item) => item.seq > run.lastSeq);
    const last = fresh.at(-1);
    if (last) put({ ...fresh.reduce((record, item) => foldRun(record, item, []), run), lastSeq: last.seq });
  }
  function clear(): void {
    byId.value = new Map();
    known.value = false;
  }

  return { byId, list, queue, known, load, cancel, resume, isActive, apply, clear };
});
