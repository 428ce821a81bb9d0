/** The open project and the recent ones. */
import { defineStore } from 'pinia';
import { ref, shallowRef } from 'vue';
import type { HostEvent, ProjectInfo, RecentProject } from '#contract/records.ts';
import { call } from '../api/index.ts';
import { freeName, joinPath } from '../format/paths.ts';

export const projectExtension = '.roundoff';

export const useProjectStore = defineStore('project', () => {
  const current = shallowRef<ProjectInfo | null>(null);
  /** False until main has been asked once. */
  const known = ref(false);
  const recent = shallowRef<RecentProject[]>([]);

  async function load(): Promise<void> {
    current.value = await call('project.current', {});
    known.value = true;
  }
  async function loadRecent(): Promise<void> {
    recent.value = await call('project.recent', {});
  }
  async function create(path: string): Promise<ProjectInfo> {
    current.value = await call('project.create', { path });
    return current.value;
  }
  async function open(path: string): Promise<ProjectInfo> {
    current.value = await call('project.open', { path });
    return current.value;
  }
  async function close(): Promise<void> {
    await call('project.close', {});
    current.value = null;
  }
  async function forget(path: string): Promise<void> {
    recent.value = await call('project.forget', { path });
  }

  /** Creates `Sample study.roundoff` in the default folder, or the next free name. */
  async function createSample(): Promise<ProjectInfo> {
    const { defaultProjectDir } = await call('app.info', {});
    const taken = await call('files.list', { path: defaultProjectDir }).then(
      (listing) => listing.entries.map((entry) => entry.name),
      () => [],
    );
    return create(joinPath(defaultProjectDir, freeName('Sample study', projectExtension, taken)));
  }

  function apply(event: HostEvent): void {
    if (event.type !== 'project-changed') return;
    current.value = event.project;
    known.value = true;
  }

  return { current, known, recent, load, loadRecent, create, open, close, forget, createSample, apply };
});
