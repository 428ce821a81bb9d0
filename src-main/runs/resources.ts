/** Turns the paths of a study into absolute ones: `sample:` paths lie in the bundled sample folder. */
import path from 'node:path';
import { choiceName, isChoice, mapStagePaths, mapStudyPaths } from '#contract/choices.ts';
import { RoundoffError } from '#contract/errors.ts';
import type { Recipe, Stage, StudySpec } from '#contract/recipe.ts';

const samplePrefix = 'sample:';

/**
 * Absolute path of `text`. Throws `bad-input` for relative paths, for `sample:` paths that lead out of the sample folder and for what is
 * still to be chosen.
 */
export function resolvePath(text: string, resourcesDir: string): string {
  if (isChoice(text))
    throw new RoundoffError(
      'bad-input',
      `The study leaves "${choiceName(text)}" to you.`,
      'Choose it in the wizard, or give it on the command line with --model or --choose.',
    );
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

/** Replaces relative paths of a study by absolute ones as seen from `baseDir`; `sample:` and `choose:` paths stay. */
export function anchorPaths(spec: StudySpec, baseDir: string): StudySpec {
  return mapStudyPaths(spec, (text) => anchorPath(text, baseDir));
}

/** The same for one stage. */
export function anchorStage<S extends Stage>(stage: S, baseDir: string): S {
  return mapStagePaths(stage, (text) => anchorPath(text, baseDir)) as S;
}

/** The recipe as a worker gets it: every path absolute. */
export function resolveRecipe(recipe: Recipe, resourcesDir: string): Recipe {
  return { ...recipe, stages: recipe.stages.map((stage) => mapStagePaths(stage, (text) => resolvePath(text, resourcesDir))) };
}

function anchorPath(text: string, baseDir: string): string {
  return text.startsWith(samplePrefix) || isChoice(text) ? text : path.resolve(baseDir, text);
}
