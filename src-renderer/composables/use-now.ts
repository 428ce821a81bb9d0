/** The current time, ticking while the component is mounted. */
import { onScopeDispose, type Ref, ref } from 'vue';

export function useNow(intervalMs = 1000): Readonly<Ref<number>> {
  const now = ref(Date.now());
  const timer = setInterval(() => {
    now.value = Date.now();
  }, intervalMs);
  onScopeDispose(() => clearInterval(timer));
  return now;
}
