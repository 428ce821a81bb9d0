/** The folder with `resources` and `scripts`, whether this runs from its sources or from what a build made of them. */
import { existsSync } from 'node:fs';
import path from 'node:path';

export function appRoot(): string {
  let folder = import.meta.dirname;
  while (!existsSync(path.join(folder, 'package.json')) || !existsSync(path.join(folder, 'resources'))) {
    const above = path.dirname(folder);
    if (above === folder) throw new Error(`no folder above ${import.meta.dirname} has the app's resources`);
    folder = above;
  }
  return folder;
}
