/**
 * Entry of a run's process: connects the run to the process's message channel; with `--backends` prints which backends work here, with
 * `--trial` tries a run's stages and prints what they took. The process ends with its work, and at once when main is gone.
 */
import { listBackends } from '../engine/backends/select.ts';
import { serveRun, type WorkerPort } from './run-recipe.ts';
import { serveTrial } from './serve-trial.ts';

if (process.argv.includes('--backends')) {
  process.stdout.write(`${JSON.stringify(await listBackends())}\n`);
  process.exit(0);
}
if (process.argv.includes('--trial')) {
  await serveTrial();
  process.exit(0);
}
if (!process.send) {
  process.stderr.write('The worker is started by Roundoff, not by hand.\n');
  process.exit(2);
}

let pending = 0;
let drained: () => void = () => undefined;
const port: WorkerPort = {
  post: (message) => {
    pending++;
    process.send?.(message, undefined, undefined, () => {
      pending--;
      if (pending === 0) drained();
    });
  },
  on: (listener) => process.on('message', listener as (message: unknown) => void),
};
process.on('disconnect', () => process.exit(3));
for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);

await serveRun(port);
if (pending > 0) await new Promise<void>((resolve) => (drained = resolve));
process.exit(0);
