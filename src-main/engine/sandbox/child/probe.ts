/**
 * Tries to get out of the sandboxed process as JavaScript that has already left Python would: files, network, programs, threads, text as
 * code, native code. Whatever succeeds is named, and then nothing is scored.
 */
import type { ProbeTargets } from '../messages.ts';

/** Names of the attempts that were not refused. */
export async function openPlaces({ readFile, writeFile, port }: ProbeTargets): Promise<string[]> {
  const attempts: Record<string, () => unknown> = {
    'reading files': async () => (await import('node:fs')).readFileSync(readFile),
    'listing folders': async () => (await import('node:fs')).readdirSync('/'),
    'writing files': async () => (await import('node:fs')).writeFileSync(writeFile, 'out'),
    'starting programs': async () => (await import('node:child_process')).spawnSync(process.execPath, ['--version']),
    'starting threads': async () => new (await import('node:worker_threads')).Worker('', { eval: true }),
    'network sockets': () => connect(port),
    'network requests': () => fetch(`http://127.0.0.1:${port}/`),
    'text as code': () => Function('return 1')(),
    'internal bindings': () => (process as unknown as { binding(name: string): unknown }).binding('spawn_sync'),
    'native code': () => process.dlopen({ exports: {} }, readFile),
    inspector: async () => (await import('node:inspector')).open(0),
    'environment variables': () => {
      if (Object.keys(process.env).filter((name) => !/^(PWD|SHLVL|_|OLDPWD|SYSTEMROOT)$/i.test(name)).length === 0)
        throw new Error('empty');
    },
  };
  const open: string[] = [];
  for (const [name, attempt] of Object.entries(attempts)) {
    try {
      await attempt();
      open.push(name);
    } catch {
      // Refused, as it should be.
    }
  }
  return open;
}

async function connect(port: number): Promise<void> {
  const { connect: open } = await import('node:net');
  await new Promise<void>((resolve, reject) => {
    const socket = open(port, '127.0.0.1', resolve);
    socket.on('error', reject);
  });
}
