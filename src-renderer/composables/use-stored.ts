/** A small preference kept in this browser. Unreadable or foreign values count as absent. */
import { type Ref, ref, watch } from 'vue';

export function useStored<T>(key: string, initial: T, isValid: (value: unknown) => value is T): Ref<T> {
  const value = ref(read()) as Ref<T>;
  watch(value, (next) => localStorage.setItem(`roundoff.${key}`, JSON.stringify(next)), { deep: true });
  return value;

  function read(): T {
    try {
      const stored: unknown = JSON.parse(localStorage.getItem(`roundoff.${key}`) ?? 'null');
      return isValid(stored) ? stored : initial;
    } catch {
      return initial;
    }
  }
}
