/** The bundled studies in `resources/recipes`: each file is a study as `study run` takes it, its name is the preset's id. */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import { parseStudySpec } from '#contract/recipe.ts';
import type { Preset } from '#contract/records.ts';
import { readJsonObject } from '../engine/data/json-file.ts';

export async function listPresets(resourcesDir: string): Promise<Preset[]> {
  return Promise.all((await presetIds(resourcesDir)).map((id) => readPreset(resourcesDir, id)));
}

/** Throws `not-found`, naming the presets there are. */
export async function findPreset(resourcesDir: string, id: string): Promise<Preset> {
  const ids = await presetIds(resourcesDir);
  if (ids.includes(id)) return readPreset(resourcesDir, id);
  throw new RoundoffError(
    'not-found',
    `"${id}" is neither a file nor a preset.`,
    ids.length > 0 ? `Presets: ${ids.join(', ')}. Or give the path of a study file.` : 'Give the path of a study file.',
  );
}

/** Listed before all others. */
const firstPreset = 'first-study';

async function presetIds(resourcesDir: string): Promise<string[]> {
  const names = await readdir(path.join(resourcesDir, 'recipes')).catch(() => []);
  return names
    .filter((name) => name.endsWith('.json'))
    .map((name) => name.slice(0, -'.json'.length))
    .sort((a, b) => Number(b === firstPreset) - Number(a === firstPreset) || (a < b ? -1 : 1));
}

async function readPreset(resourcesDir: string, id: string): Promise<Preset> {
  const file = path.join(resourcesDir, 'recipes', `${id}.json`);
  const spec = parseStudySpec(await readJsonObject(file, { code: 'recipe-invalid' }), file);
  return { id, name: spec.name, description: spec.description, spec };
}
