/**
 * A study's grid as a list of runs: for each model the unquantized baseline, then every variant with every seed. The baseline is
 * measured once per model: nothing in it depends on the run's seed.
 */
import path from 'node:path';
import { baselineName, type EvaluateStage, type Recipe, type StudySpec } from '#contract/recipe.ts';

export interface PlannedRun {
  name: string;
  isBaseline: boolean;
  /** As written in the study; may be a `sample:` path. */
  model: string;
  seed: number;
  recipe: Recipe;
}

/** The runs of a study in the order they are made. */
export function expandStudy(spec: StudySpec): PlannedRun[] {
  const evaluate: EvaluateStage = { type: 'evaluate', benchmarks: spec.benchmarks, protocol: spec.protocol };
  const labels = modelLabels(spec.models);
  const runs: PlannedRun[] = [];
  for (const [index, model] of spec.models.entries()) {
    const plan = (name: string, isBaseline: boolean, seed: number, stages: Recipe['stages']) => {
      const parts = [
        name,
        ...(spec.models.length > 1 ? [labels[index]!] : []),
        ...(!isBaseline && spec.seeds.length > 1 ? [`seed ${seed}`] : []),
      ];
      runs.push({ name: parts.join(' · '), isBaseline, model, seed, recipe: { name, description: '', stages } });
    };
    plan(baselineName, true, spec.seeds[0]!, [evaluate]);
    for (const variant of spec.variants) for (const seed of spec.seeds) plan(variant.name, false, seed, [...variant.stages, evaluate]);
  }
  return runs;
}

/** The last part of each path, with as many more parts as it takes to tell the models apart. */
function modelLabels(models: readonly string[]): string[] {
  const parts = models.map((model) =>
    model
      .replace(/^sample:/, '')
      .split(/[\\/]/)
      .filter(Boolean),
  );
  for (let depth = 1; depth <= Math.max(...parts.map((list) => list.length)); depth++) {
    const labels = parts.map((list) => list.slice(-depth).join(path.posix.sep));
    if (new Set(labels).size === labels.length) return labels;
  }
  return [...models];
}
