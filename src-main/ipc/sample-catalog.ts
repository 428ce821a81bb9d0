/** What the bundled sample folder offers: the model, its benchmarks from easy to hard, and calibration text. */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import type { SampleCatalog } from '#contract/records.ts';
import { streamJsonl } from '../engine/data/jsonl.ts';
import { tasks } from '../engine/sample/problems.ts';

export async function sampleCatalog(resourcesDir: string): Promise<SampleCatalog> {
  const sampleDir = path.join(resourcesDir, 'sample');
  const files = await jsonlNames(path.join(sampleDir, 'benchmarks'));
  const known = tasks.filter((task) => files.includes(task.name));
  const benchmarks = await Promise.all(
    known.map(async ({ name, title }) => ({
      name,
      title,
      path: `sample:benchmarks/${name}.jsonl`,
      problems: await countRows(path.join(sampleDir, 'benchmarks', `${name}.jsonl`)),
    })),
  );
  const calibration = (await jsonlNames(path.join(sampleDir, 'calibration'))).map((name) => ({
    name,
    title: calibrationTitles[name] ?? name,
    path: `sample:calibration/${name}.jsonl`,
  }));
  const training = (await jsonlNames(path.join(sampleDir, 'training'), true)).map((name) => ({
    name,
    title: trainingTitles[name] ?? name,
    path: `sample:training/${name}.jsonl`,
  }));
  return { modelDir: path.join(sampleDir, 'abacus'), benchmarks, calibration, training };
}

const trainingTitles: Record<string, string> = {
  abacus: 'Problems of all five tasks with worked solutions',
  general: 'General text without arithmetic',
};

const calibrationTitles: Record<string, string> = {
  abacus: 'Worked problems of all five tasks',
  general: 'General text without arithmetic',
};

async function jsonlNames(dir: string, isOptional = false): Promise<string[]> {
  if (isOptional && !existsSync(dir)) return [];
  try {
    const names = await readdir(dir);
    return names
      .filter((name) => name.endsWith('.jsonl'))
      .map((name) => name.slice(0, -'.jsonl'.length))
      .sort();
  } catch (error) {
    throw new RoundoffError(
      'not-found',
      `The bundled sample is incomplete: ${dir} is missing.`,
      'Reinstall Roundoff, or run `npm run sample`.',
      {
        cause: error,
      },
    );
  }
}

async function countRows(file: string): Promise<number> {
  let rows = 0;
  for await (const _ of streamJsonl(file)) rows++;
  return rows;
}
