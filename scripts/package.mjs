// Builds installers with electron-builder for this platform, with the pinned Node beside the app to run its workers, and beside that what
// the TensorFlow runtime pack is built from on a user's machine: Node-API's headers and the binding's C++ sources.
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, mkdirSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const folder = path.join(root, 'out/runtime', `${process.platform}-${process.arch}`);
const executable = process.platform === 'win32' ? 'node.exe' : 'node';

mkdirSync(folder, { recursive: true });
copyFileSync(process.execPath, path.join(folder, executable));
chmodSync(path.join(folder, executable), 0o755);
const headers = path.join(path.dirname(process.execPath), process.platform === 'win32' ? 'include/node' : '../include/node');
mkdirSync(path.join(folder, 'include/node'), { recursive: true });
for (const name of ['node_api.h', 'node_api_types.h', 'js_native_api.h', 'js_native_api_types.h'])
  copyFileSync(path.join(headers, name), path.join(folder, 'include/node', name));
cpSync(path.join(root, 'node_modules/@tensorflow/tfjs-node-gpu/binding'), path.join(folder, 'tensorflow-binding'), { recursive: true });

const result = spawnSync(
  process.execPath,
  [path.join(root, 'node_modules/electron-builder/cli.js'), '--publish', 'never', ...process.argv.slice(2)],
  {
    stdio: 'inherit',
    cwd: root,
  },
);
process.exit(result.status ?? 1);
