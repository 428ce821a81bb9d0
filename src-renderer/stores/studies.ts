/** The studies of the open project, and the presets and bundled samples that new ones start from. */
import { defineStore } from 'pinia';
import { ref, shallowRef } from 'vue';
import type { StudySpec } from '#contract/recipe.ts';
import type { HostEvent, Preset, SampleCatalog, StudyPlan, StudyRecord } from '#contract/records.ts';
import { call } from '../api/index.ts';

export const useStudiesStore = defineStore('studies', () => {
  const list = shallowRef<StudyRecord[]>([]);
  const known = ref(false);
  const presets = shallowRef<Preset[]>([]);
  const catalog = shallowRef<SampleCatalog | null>(null);

  async function load(): Promise<void> {
    list.value = await call('studies.list', {});
    known.value = true;
  }
  /** Presets and samples never change while Roundoff runs. */
  async function loadLibrary(): Promise<void> {
    if (presets.value.length === 0) presets.value = await call('presets.list', {});
    catalog.value ??= await call('sample.catalog', {});
  }
  const plan = (spec: StudySpec): Promise<StudyPlan> => call('studies.plan', { spec });
  async function create(spec: StudySpec): Promise<StudyRecord> {
    const study = await call('studies.create', { spec });
    upsert(study);
    return study;
  }
  async function remove(studyId: number): Promise<void> {
    await call('studies.delete', { studyId });
    list.value = list.value.filter((study) => study.id !== studyId);
  }
  const byId = (studyId: number): StudyRecord | undefined => list.value.find((study) => study.id === studyId);

  function upsert(study: StudyRecord): void {
    const others = list.value.filter((other) => other.id !== study.id);
    list.value = [...others, study].sort((a, b) => b.createdAt - a.createdAt || b.id - a.id);
  }
  function apply(event: HostEvent): void {
    if (event.type === 'study-changed') upsert(event.study);
    if (event.type === 'project-changed') clear();
  }
  function clear(): void {
    list.value = [];
    known.value = false;
  }

  return { list, known, presets, catalog, load, loadLibrary, plan, create, remove, byId, apply, clear };
});
