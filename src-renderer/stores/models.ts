/** Models of the open project, and inspections of model folders, kept by path. */
import { defineStore } from 'pinia';
import { shallowRef } from 'vue';
import { type ErrorInfo, toErrorInfo } from '#contract/errors.ts';
import type { HostEvent, ModelInspection, ModelRecord } from '#contract/records.ts';
import { call } from '../api/index.ts';

export interface InspectionState {
  loading: boolean;
  inspection: ModelInspection | null;
  error: ErrorInfo | null;
}

export const useModelsStore = defineStore('models', () => {
  const list = shallowRef<ModelRecord[]>([]);
  const inspections = shallowRef(new Map<string, InspectionState>());

  async function load(): Promise<void> {
    list.value = await call('models.list', {});
  }

  /** Inspects a folder unless that is already known; `again` asks anew, for a folder that was repaired. */
  async function inspect(path: string, again = false): Promise<void> {
    const known = inspections.value.get(path);
    if (known && (known.loading || (!again && known.inspection))) return;
    put(path, { loading: true, inspection: null, error: null });
    try {
      put(path, { loading: false, inspection: await call('models.inspect', { path }), error: null });
    } catch (thrown) {
      put(path, { loading: false, inspection: null, error: toErrorInfo(thrown) });
    }
  }

  function put(path: string, state: InspectionState): void {
    inspections.value = new Map(inspections.value).set(path, state);
  }
  function apply(event: HostEvent): void {
    if (event.type === 'project-changed') list.value = [];
  }

  return { list, inspections, load, inspect, apply };
});
