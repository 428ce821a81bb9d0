/** The run being looked at: a snapshot, then newer events folded in. Opening and watching share this path. */
import { defineStore } from 'pinia';
import { shallowRef } from 'vue';
import { type ErrorInfo, toErrorInfo } from '#contract/errors.ts';
import type { HostEvent, RunSnapshot } from '#contract/records.ts';
import type { RunEvent } from '#contract/worker.ts';
import { call } from '../api/index.ts';
import { throttle } from '../composables/throttle.ts';
import { foldRunEvents } from './run-fold.ts';

export const useRunDetailStore = defineStore('run-detail', () => {
  const runId = shallowRef<string | null>(null);
  const snapshot = shallowRef<RunSnapshot | null>(null);
  const error = shallowRef<ErrorInfo | null>(null);
  /** Events that arrived while the snapshot was on its way. */
  let early: RunEvent[] = [];
  let loading = false;

  async function open(id: string): Promise<void> {
    if (runId.value !== id) {
      runId.value = id;
      snapshot.value = null;
      error.value = null;
      early = [];
    }
    await reload();
  }

  async function reload(): Promise<void> {
    const id = runId.value;
    if (id === null) return;
    loading = true;
    try {
      const loaded = await call('runs.snapshot', { runId: id });
      if (runId.value !== id) return;
      snapshot.value = foldRunEvents(loaded, early);
      error.value = null;
    } catch (thrown) {
      if (runId.value === id) error.value = toErrorInfo(thrown);
    } finally {
      if (runId.value === id) {
        loading = false;
        early = [];
      }
    }
  }

  /** Artifacts get their place in the project only when main has recorded them: ask again. */
  const reloadSoon = throttle(500, () => void reload());

  function apply(event: HostEvent): void {
    if (event.type === 'project-changed') close();
    if (event.type === 'run-changed' && event.run.id === runId.value && snapshot.value) {
      snapshot.value = { ...snapshot.value, run: { ...event.run, lastSeq: snapshot.value.lastSeq } };
    }
    if (event.type !== 'run-events' || event.runId !== runId.value) return;
    if (loading) early.push(...event.events);
    if (!snapshot.value) return;
    snapshot.value = foldRunEvents(snapshot.value, event.events);
    if (event.events.some((item) => item.type === 'artifact' || item.type === 'stage-finished' || item.type === 'finished')) reloadSoon();
  }

  function close(): void {
    reloadSoon.cancel();
    runId.value = null;
    snapshot.value = null;
    error.value = null;
    early = [];
  }

  return { runId, snapshot, error, open, reload, close, apply };
});
