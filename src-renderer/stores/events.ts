/** Hands every event from main to the stores that fold it. */
import { onHostEvent } from '../api/index.ts';
import { useComparisonStore } from './comparison.ts';
import { useModelsStore } from './models.ts';
import { useProjectStore } from './project.ts';
import { useRunDetailStore } from './run-detail.ts';
import { useRunsStore } from './runs.ts';
import { useRuntimeStore } from './runtime.ts';
import { useStudiesStore } from './studies.ts';
import { useTrialStore } from './trial.ts';

/** Call once, after Pinia is installed. */
export function startEvents(): void {
  const stores = [
    useProjectStore(),
    useStudiesStore(),
    useRunsStore(),
    useRunDetailStore(),
    useComparisonStore(),
    useModelsStore(),
    useTrialStore(),
    useRuntimeStore(),
  ];
  onHostEvent((event) => {
    for (const store of stores) store.apply(event);
  });
}
