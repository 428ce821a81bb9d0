/** One asynchronous question with its answer, error and busy state. A later call makes an earlier one's answer void. */
import { type Ref, ref, type ShallowRef, shallowRef } from 'vue';
import { type ErrorInfo, toErrorInfo } from '#contract/errors.ts';

export interface Request<A extends unknown[], T> {
  data: ShallowRef<T | null>;
  error: ShallowRef<ErrorInfo | null>;
  loading: Ref<boolean>;
  /** Null when it failed (see `error`) or when a later call took over. */
  run(...args: A): Promise<T | null>;
  reset(): void;
}

export function useRequest<A extends unknown[], T>(ask: (...args: A) => Promise<T>): Request<A, T> {
  const data = shallowRef<T | null>(null);
  const error = shallowRef<ErrorInfo | null>(null);
  const loading = ref(false);
  let latest = 0;

  async function run(...args: A): Promise<T | null> {
    const turn = ++latest;
    loading.value = true;
    try {
      const answer = await ask(...args);
      if (turn !== latest) return null;
      data.value = answer;
      error.value = null;
      return answer;
    } catch (thrown) {
      if (turn === latest) error.value = toErrorInfo(thrown);
      return null;
    } finally {
      if (turn === latest) loading.value = false;
    }
  }

  function reset(): void {
    latest += 1;
    data.value = null;
    error.value = null;
    loading.value = false;
  }

  return { data, error, loading, run, reset };
}
