/** Where the app's own files lie: beside the built main bundle in a checkout, unpacked from the archive in an installed app. */

import { existsSync } from 'node:fs';
import path from 'node:path';

export interface AppPaths {
  rendererDir: string;
  preloadFile: string;
  /** Run by plain Node, which cannot read inside the archive. */
  workerEntry: string;
  resourcesDir: string;
  /** The plain Node that runs workers. */
  nodeFile: string;
}

/** `mainDir`: folder of the built main bundle. `electronResources`: Electron's `process.resourcesPath`, if there is one. */
export function appPaths(mainDir: string, electronResources?: string): AppPaths {
  const executable = process.platform === 'win32' ? 'node.exe' : 'node';
  const packaged = mainDir.includes(`app.asar${path.sep}`) && electronResources !== undefined;
  const bundledNode = electronResources === undefined ? '' : path.join(electronResources, 'runtime', executable);
  return {
    rendererDir: path.join(mainDir, '../renderer'),
    preloadFile: path.join(mainDir, '../preload/index.cjs'),
    workerEntry: path.join(mainDir.replace(`app.asar${path.sep}`, `app.asar.unpacked${path.sep}`), 'worker.js'),
    resourcesDir: packaged ? path.join(electronResources, 'resources') : path.resolve(mainDir, '../../resources'),
    nodeFile: existsSync(bundledNode) ? bundledNode : (process.env.ROUNDOFF_NODE ?? process.execPath),
  };
}
