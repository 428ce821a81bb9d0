/** The installation: version, host, folders, and what `doctor` finds. */
import { defineStore } from 'pinia';
import type { FileListing } from '#contract/records.ts';
import { call } from '../api/index.ts';
import { useRequest } from '../composables/use-request.ts';

export const useAppStore = defineStore('app', () => {
  const info = useRequest(() => call('app.info', {}));
  const doctor = useRequest(() => call('app.doctor', {}));
  const listFiles = (path: string | null): Promise<FileListing> => call('files.list', { path });
  return { info, doctor, listFiles };
});
