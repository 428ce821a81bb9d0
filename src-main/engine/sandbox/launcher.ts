/**
 * How a sandboxed process is started: Node with its permission model, an empty environment, limits of the system, and around that
 * namespaces of its own where the system offers them (bubblewrap, else `unshare`).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { SandboxFiles } from './files.ts';
import type { ChildSettings } from './messages.ts';

/** What stands around the process besides Node's permissions. */
export type Isolation = 'bubblewrap' | 'unshare' | 'none';

export interface Launch {
  files: SandboxFiles;
  settings: ChildSettings;
  isolation: Isolation;
  /** Processor seconds after which the system itself ends the process, even if its parent is gone. */
  cpuSeconds: number;
}

/** The candidates on this system, strongest first. Whether one works is seen by trying. */
export function isolations(): Isolation[] {
  if (process.platform !== 'linux') return ['none'];
  return [...(findProgram('bwrap') ? ['bubblewrap' as const] : []), ...(findProgram('unshare') ? ['unshare' as const] : []), 'none'];
}

/** Starts the process as leader of a group of its own, with pipes as its only open files. */
export function launch(options: Launch): ChildProcess {
  const [file, ...args] = limited(isolated(nodeCommand(options), options), options.cpuSeconds);
  return spawn(file!, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: process.platform === 'win32' ? { SYSTEMROOT: process.env.SYSTEMROOT } : {},
    cwd: dirname(options.files.pyodideDir),
    detached: process.platform !== 'win32',
    windowsHide: true,
  });
}

function nodeCommand({ files, settings }: Launch): string[] {
  return [
    process.execPath,
    '--permission',
    ...readable(files, settings).map((path) => `--allow-fs-read=${path}`),
    '--disallow-code-generation-from-strings',
    '--disable-proto=delete',
    '--no-addons',
    '--no-warnings',
    '--max-old-space-size=256',
    ...(process.platform === 'win32' ? [] : [`--stack-size=${stackKib() - 1000}`]),
    files.childEntry,
    JSON.stringify(settings),
  ];
}

function readable({ childCode, pyodideDir }: SandboxFiles, { snapshotFile }: ChildSettings): string[] {
  return [childCode, pyodideDir, ...(snapshotFile ? [snapshotFile] : [])];
}

function isolated(command: string[], { isolation, files, settings }: Launch): string[] {
  if (isolation === 'unshare') return [findProgram('unshare')!, '--user', '--map-root-user', '--net', '--ipc', '--uts', ...command];
  if (isolation === 'none') return command;
  const visible = [process.execPath, ...readable(files, settings)].flatMap((path) => ['--ro-bind', path, path]);
  const libraries = ['/lib', '/lib64', '/usr/lib', '/usr/lib64', '/etc/ld.so.cache', '/nix/store'].flatMap((path) => [
    '--ro-bind-try',
    path,
    path,
  ]);
  const closed = ['--unshare-all', '--die-with-parent', '--cap-drop', 'ALL', '--clearenv', '--dev', '/dev', '--chdir', '/'];
  return [findProgram('bwrap')!, ...closed, ...libraries, ...visible, '--', ...command];
}

/** No core dumps, no files, and an end even without a parent. Windows has no such limits. */
function limited(command: string[], cpuSeconds: number): string[] {
  if (process.platform === 'win32') return command;
  const limits = `ulimit -c 0; ulimit -f 0; ulimit -s ${stackKib()}; ulimit -t ${Math.ceil(cpuSeconds)}`;
  return ['/bin/sh', '-c', `${limits}; exec "$@"`, 'sandbox', ...command];
}

/**
 * Recursion through C (a cached function, a sort's key) takes 1 MiB of stack for less than 1,000 levels; answers that run natively go deeper.
 * Systems give 8 MiB, Linux more where its hard limit allows.
 */
function stackKib(): number {
  const wanted = 65_536;
  if (process.platform !== 'linux') return 8000;
  const [, hard = ''] = /^Max stack size\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
  return hard === 'unlimited' || Number(hard) >= wanted * 1024 ? wanted : 8000;
}

function findProgram(name: string): string | undefined {
  return ['/usr/bin', '/bin', '/usr/local/bin', '/run/current-system/sw/bin']
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}
