/** Turns the paths of a study into absolute ones: `sample:` paths lie in the bundled sample folder. */
import path from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import type { CalibrationSettings, Recipe, Stage, StudySpec } from '#contract/recipe.ts';

const samplePrefix = 'sample:';

/** Absolute path of `text`. Throws `bad-input` for relative paths and for `sample:` paths that lead out of the sample folder. */
export function resolvePath(text: string, resourcesDir: string): string {
  if (!text.startsWith(samplePrefix)) {
    if (path.isAbsolute(text)) return path.normalize(text);
    throw new RoundoffError('bad-input', `"${text}" is not an absolute path.`, 'Give the whole path, or a sample: path.');
  }
  const sampleDir = path.join(resourcesDir, 'sample');
  const name = text.slice(samplePrefix.length);
  const inside = path.resolve(sampleDir, name);
  if (inside !== sampleDir && !inside.startsWith(sampleDir + path.sep))
    throw new RoundoffError('bad-input', `"${text}" leads out of the sample folder.`, 'Use a path inside the sample folder.');
  return inside;
}

/** Replaces relative paths of a study by absolute ones as seen from `baseDir`; `sample:` paths stay. */
export function anchorPaths(spec: StudySpec, baseDir: string): StudySpec {
  const anchor = (text: string) => (text.startsWith(samplePrefix) ? text : path.resolve(baseDir, text));
  return {
    ...spec,
    models: spec.models.map(anchor),
    benchmarks: spec.benchmarks.map((benchmark) => ({ ...benchmark, path: anchor(benchmark.path) })),
    variants: spec.variants.map((variant) => ({
      ...variant,
      stages: variant.stages.map((stage) => mapStagePaths(stage, anchor) as (typeof variant.stages)[number]),
    })),
  };
}

/** The recipe as a worker gets it: every path absolute. */
export function resolveRecipe(recipe: Recipe, resourcesDir: string): Recipe {
  return { ...recipe, stages: recipe.stages.map((stage) => mapStagePaths(stage, (text) => resolvePath(text, resourcesDir))) };
}

function mapStagePaths(stage: Stage, map: (text: string) => string): Stage {
  if (stage.type === 'quantize') {
    const at = (calibration: CalibrationSettings) => ({ ...calibration, path: map(calibration.path) });
    return {
      ...stage,
      ...('calibration' in stage && stage.calibration ? { calibration: at(stage.calibration) } : {}),
      ...(stage.mixed ? { mixed: { ...stage.mixed, calibration: at(stage.mixed.calibration) } } : {}),
    } as Stage;
  }
  if (stage.type === 'evaluate')
    return { ...stage, benchmarks: stage.benchmarks.map((benchmark) => ({ ...benchmark, path: map(benchmark.path) })) };
  return stage;
}
