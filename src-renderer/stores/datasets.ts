/** Inspections of benchmark and calibration files, kept by kind and path. */
import { defineStore } from 'pinia';
import { shallowRef } from 'vue';
import { type BenchmarkReference, benchmarkKey } from '#contract/benchmarks.ts';
import { type ErrorInfo, toErrorInfo } from '#contract/errors.ts';
import type { DatasetInspection, DatasetKind } from '#contract/records.ts';
import { call } from '../api/index.ts';

export interface DatasetState {
  loading: boolean;
  inspection: DatasetInspection | null;
  error: ErrorInfo | null;
}

export const useDatasetsStore = defineStore('datasets', () => {
  const states = shallowRef(new Map<string, DatasetState>());
  const of = (path: string, kind: DatasetKind): DatasetState | undefined => states.value.get(`${kind} ${path}`);

  async function inspect(path: string, kind: DatasetKind): Promise<void> {
    const known = of(path, kind);
    if (known && (known.loading || known.inspection)) return;
    put(path, kind, { loading: true, inspection: null, error: null });
    try {
      put(path, kind, { loading: false, inspection: await call('datasets.inspect', { path, kind }), error: null });
    } catch (thrown) {
      put(path, kind, { loading: false, inspection: null, error: toErrorInfo(thrown) });
    }
  }
  function put(path: string, kind: DatasetKind, state: DatasetState): void {
    states.value = new Map(states.value).set(`${kind} ${path}`, state);
  }

  const ofBenchmark = (reference: BenchmarkReference): DatasetState | undefined => of(benchmarkKey(reference), 'benchmark');
  /** As the reference says it is read. */
  async function inspectBenchmark(reference: BenchmarkReference): Promise<void> {
    const key = benchmarkKey(reference);
    const known = of(key, 'benchmark');
    if (known && (known.loading || known.inspection)) return;
    const { path, split, columns, where, kind } = reference;
    put(key, 'benchmark', { loading: true, inspection: null, error: null });
    try {
      const inspection = await call('datasets.inspect', { path, kind: 'benchmark', split, columns, where, as: kind });
      put(key, 'benchmark', { loading: false, inspection, error: null });
    } catch (thrown) {
      put(key, 'benchmark', { loading: false, inspection: null, error: toErrorInfo(thrown) });
    }
  }

  return { of, inspect, ofBenchmark, inspectBenchmark };
});
