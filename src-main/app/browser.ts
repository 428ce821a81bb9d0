/** Entry of the browser host: starts it, prints and (with `--open`) opens its page, and stops runs at a checkpoint on Ctrl-C. */
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import packageJson from '../../package.json' with { type: 'json' };
import { createServices } from '../ipc/services.ts';
import { appPaths } from './app-paths.ts';
import { startBrowserHost } from './browser-host.ts';

const { values } = parseArgs({
  options: { open: { type: 'boolean', default: false }, port: { type: 'string', default: '0' }, project: { type: 'string' } },
});
const port = Number(values.port);
if (!Number.isInteger(port) || port < 0 || port > 65535) {
  console.error(`--port must be a number from 0 to 65535, not "${values.port}".`);
  process.exit(2);
}

const paths = appPaths(import.meta.dirname);
const services = createServices({
  host: 'browser',
  version: packageJson.version,
  resourcesDir: paths.resourcesDir,
  workerEntry: paths.workerEntry,
  nodeFile: paths.nodeFile,
});
if (values.project) {
  const opened = await services.dispatch('project.open', { path: values.project });
  if (!opened.ok) {
    console.error(`${opened.error.message} ${opened.error.hint}`);
    process.exit(2);
  }
}

const host = await startBrowserHost({ services, rendererDir: paths.rendererDir, port }).catch((error: Error) => {
  console.error(`The browser host could not listen on port ${port}: ${error.message}. Choose another with --port.`);
  process.exit(1);
});
console.log(`Roundoff is running in the browser host: ${host.url}`);
if (values.open) openPage(host.url);

let stopping = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (stopping) process.exit(1);
    stopping = true;
    if (services.activeRuns() > 0) console.log('Stopping at the next checkpoint; press Ctrl-C again to stop at once.');
    void Promise.all([host.close(), services.close()]).then(() => process.exit(0));
  });
}

function openPage(url: string): void {
  const [command, args]: [string, string[]] =
    process.platform === 'darwin' ? ['open', [url]] : process.platform === 'win32' ? ['explorer.exe', [url]] : ['xdg-open', [url]];
  const child = spawn(command, args, { stdio: 'ignore', detached: true });
  child.on('error', () => console.log('Open the address above in a browser on this machine.'));
  child.unref();
}
