/**
 * Paths that a bundled study leaves to its reader, as `choose:Qwen3-1.7B`: the paper's model and data, which everyone keeps elsewhere. A study
 * with choices left open is valid as data; the wizard asks for them, and a run does not start before they are made. Pure.
 */
import type { BenchmarkReference } from './benchmarks.ts';
import type { Stage, StudySpec } from './recipe.ts';

const prefix = 'choose:';

export function isChoice(path: string): boolean {
  return path.startsWith(prefix);
}

/** What is to be chosen: `Qwen3-1.7B`. */
export function choiceName(path: string): string {
  return path.slice(prefix.length);
}

/** Names of everything that is still to be chosen, each once. */
export function openChoices(spec: StudySpec): string[] {
  const names = new Set<string>();
  mapStudyPaths(spec, (path) => {
    if (isChoice(path)) names.add(choiceName(path));
    return path;
  });
  return [...names];
}

/** The study with chosen paths in place of their names. */
export function makeChoices(spec: StudySpec, chosen: ReadonlyMap<string, string>): StudySpec {
  return mapStudyPaths(spec, (path) => (isChoice(path) ? (chosen.get(choiceName(path)) ?? path) : path));
}

/** A study whose paths (models, benchmarks, calibration, training data, teachers) are mapped. */
export function mapStudyPaths(spec: StudySpec, map: (path: string) => string): StudySpec {
  return {
    ...spec,
    models: spec.models.map(map),
    benchmarks: spec.benchmarks.map((benchmark) => mapBenchmarkPaths(benchmark, map)),
    variants: spec.variants.map((variant) => ({
      ...variant,
      stages: variant.stages.map((stage) => mapStagePaths(stage, map) as (typeof variant.stages)[number]),
    })),
  };
}

function mapBenchmarkPaths(benchmark: BenchmarkReference, map: (path: string) => string): BenchmarkReference {
  const { path, examples } = benchmark;
  return { ...benchmark, path: map(path), ...(examples === undefined ? {} : { examples: map(examples) }) };
}

/** A stage whose paths are mapped. */
export function mapStagePaths(stage: Stage, map: (path: string) => string): Stage {
  switch (stage.type) {
    case 'quantize':
      return {
        ...stage,
        ...('calibration' in stage && stage.calibration
          ? { calibration: { ...stage.calibration, path: map(stage.calibration.path) } }
          : {}),
        ...(stage.mixed
          ? { mixed: { ...stage.mixed, calibration: { ...stage.mixed.calibration, path: map(stage.mixed.calibration.path) } } }
          : {}),
      } as Stage;
    case 'train': {
      const { objective, data } = stage;
      const teacher = objective.kind === 'kd' && objective.teacher !== null ? { teacher: map(objective.teacher) } : {};
      return { ...stage, data: { ...data, path: map(data.path) }, objective: { ...objective, ...teacher } as typeof objective };
    }
    case 'evaluate':
      return { ...stage, benchmarks: stage.benchmarks.map((benchmark) => mapBenchmarkPaths(benchmark, map)) };
    case 'export':
      return stage;
  }
}
