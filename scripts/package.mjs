// Builds installers with electron-builder for this platform, with the pinned Node beside the app to run its workers.
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const folder = path.join(root, 'out/runtime', `${process.platform}-${process.arch}`);
const executable = process.platform === 'win32' ? 'node.exe' : 'node';

mkdirSync(folder, { recursive: true });
copyFileSync(process.execPath, path.join(folder, executable));
chmodSync(path.join(folder, executable), 0o755);
const result = spawnSync(
  process.execPath,
  [path.join(root, 'node_modules/electron-builder/cli.js'), '--publish', 'never', ...process.argv.slice(2)],
  {
    stdio: 'inherit',
    cwd: root,
  },
);
process.exit(result.status ?? 1);
