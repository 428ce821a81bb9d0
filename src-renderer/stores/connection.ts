/** Whether main can be reached. `epoch` rises with every reconnection: what was loaded before may be out of date. */
import { defineStore } from 'pinia';
import { ref, shallowRef } from 'vue';
import { type ConnectionState, onConnection, retryConnection } from '../api/index.ts';

export const useConnectionStore = defineStore('connection', () => {
  const state = shallowRef<ConnectionState>({ status: 'connecting', attempts: 0, retryAt: null });
  const epoch = ref(0);

  function start(): void {
    onConnection((next) => {
      const isBack = next.status === 'connected' && state.value.status === 'lost';
      state.value = next;
      if (isBack) epoch.value += 1;
    });
  }

  return { state, epoch, start, retry: retryConnection };
});
