/** What every command gets: where to write, whether machines read it, the app's paths, and the signal of Ctrl-C. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ProgressLine, type Terminal } from './terminal.ts';

export interface CliContext {
  terminal: Terminal;
  progress: ProgressLine;
  /** Prints a result: `value` as JSON for machines, `text` for people. */
  print(json: boolean, value: unknown, text: () => string): void;
  resourcesDir: string;
  workerEntry: string;
  version: string;
  /** Aborted by the first Ctrl-C; the second ends the process. */
  signal: AbortSignal;
  /** Commands set this when they end without an error but not with success. */
  exitCode: number;
}

export function createContext(terminal: Terminal, signal: AbortSignal): CliContext {
  const root = path.resolve(import.meta.dirname, '../..');
  const built = path.basename(import.meta.dirname) !== 'cli';
  return {
    terminal,
    progress: new ProgressLine(terminal.stderr),
    print: (json, value, text) => terminal.stdout.write(`${json ? JSON.stringify(value, null, 2) : text()}\n`),
    resourcesDir: process.env.ROUNDOFF_RESOURCES ?? path.join(root, 'resources'),
    workerEntry: built ? path.join(import.meta.dirname, 'worker.js') : path.join(root, 'src-main/worker/index.ts'),
    version: (JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { version: string }).version,
    signal,
    exitCode: 0,
  };
}
