/** Leaving a project stops its running run at a checkpoint: asks first when there is something to stop. */
import { defineStore } from 'pinia';
import { ref } from 'vue';
import { useProjectStore } from './project.ts';
import { useRunsStore } from './runs.ts';

export const useLeavingStore = defineStore('leaving', () => {
  const project = useProjectStore();
  const runs = useRunsStore();
  const asking = ref(false);
  let answer: ((leave: boolean) => void) | null = null;

  /** True at once when nothing runs, or when `path` is the project that is open. */
  async function mayLeave(path: string | null = null): Promise<boolean> {
    if (!project.current || project.current.path === path) return true;
    if (!runs.known) await runs.load().catch(() => undefined);
    if (!runs.list.some(runs.isActive)) return true;
    asking.value = true;
    return new Promise((resolve) => {
      answer = resolve;
    });
  }
  function settle(leave: boolean): void {
    asking.value = false;
    answer?.(leave);
    answer = null;
  }

  return { asking, mayLeave, settle };
});
