/**
 * Finds the strongest isolation that works here, and has the sandboxed process try to get out of it. What gets out closes the sandbox: no
 * sandbox, no score.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import type { SandboxFiles } from './files.ts';
import { type Isolation, isolations } from './launcher.ts';
import { type SandboxLimits, startMs } from './limits.ts';
import { SandboxProcess } from './sandbox-process.ts';

/** Throws `sandbox-unavailable`, naming what was not closed. */
export async function probeIsolation(
  files: SandboxFiles,
  limits: SandboxLimits,
  candidates: readonly Isolation[] = isolations(),
): Promise<Isolation> {
  const folder = mkdtempSync(join(tmpdir(), 'roundoff-probe-'));
  const { server, port, connections } = await listen();
  const readFile = join(folder, 'secret');
  const writeFile = join(folder, 'written');
  writeFileSync(readFile, 'secret');
  const complaints: string[] = [];
  try {
    for (const isolation of candidates) {
      const probe = { readFile, writeFile, port };
      const settings = { mode: 'probe' as const, pyodideDir: files.pyodideDir, snapshotFile: null, ...sizes(limits), probe };
      const child = new SandboxProcess({ files, settings, isolation, cpuSeconds: startMs / 1000 }, limits);
      const reply = await child.ask(null, startMs);
      await child.end();
      if (reply.type !== 'probed') {
        complaints.push(`${isolation}: ${child.complaints.trim().split('\n').at(-1) || 'no answer'}`);
        continue;
      }
      const open = [
        ...reply.open,
        ...(existsSync(writeFile) ? ['a file was written'] : []),
        ...(connections() > 0 ? ['a connection came'] : []),
      ];
      if (open.length === 0) return isolation;
      throw unavailable(`these were not closed to it: ${[...new Set(open)].join(', ')}`);
    }
    throw unavailable(`its process does not start (${complaints.join('; ')})`);
  } finally {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function sizes({ memoryBytes, outputBytes }: SandboxLimits): { memoryBytes: number; outputBytes: number } {
  return { memoryBytes, outputBytes };
}

export function unavailable(what: string): RoundoffError {
  const hint = `Run with the Node that comes with Roundoff (this is ${process.version}, its permission model is needed). Without the sandbox no code is run and nothing is scored.`;
  return new RoundoffError('sandbox-unavailable', `The sandbox for code cannot be trusted here: ${what}.`, hint);
}

async function listen(): Promise<{ server: Server; port: number; connections(): number }> {
  let count = 0;
  const server = createServer((socket) => {
    count += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address() as { port: number };
  return { server, port: address.port, connections: () => count };
}
