/** Finds a Python with torch and transformers and runs one case of `scripts/peers/bench_peers.py` in it. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Measurement } from './cases.ts';

export interface PythonPeer {
  python: string;
  torch: string;
  transformers: string;
}

export type PeerSearch = { found: PythonPeer } | { found: null; reason: string };

const script = path.resolve(import.meta.dirname, '../../scripts/peers/bench_peers.py');

/** Tries `ROUNDOFF_PYTHON`, then `.venv`, then the Python on the path. */
export function findPythonPeer(): PeerSearch {
  const candidates = [process.env.ROUNDOFF_PYTHON, path.resolve('.venv/bin/python'), 'python3', 'python'].filter(
    (name): name is string => Boolean(name) && (!path.isAbsolute(name!) || existsSync(name!)),
  );
  for (const python of candidates) {
    const result = runScript(python, ['probe']);
    if (result !== null) return { found: { python, torch: String(result.torch), transformers: String(result.transformers) } };
  }
  return {
    found: null,
    reason: 'no Python with torch and transformers was found; install them and name it in ROUNDOFF_PYTHON to measure PyTorch too',
  };
}

/** Null when the peer failed; its message has then gone to stderr. */
export function measurePython(peer: PythonPeer, caseId: string, modelDir: string): Measurement | null {
  const result = runScript(peer.python, [caseId, modelDir], 'inherit');
  if (result === null) return null;
  return { value: Number(result.value), unit: String(result.unit), peakMemoryBytes: Number(result.peakMemoryBytes) };
}

function runScript(python: string, args: string[], stderr: 'inherit' | 'ignore' = 'ignore'): Record<string, unknown> | null {
  const result = spawnSync(python, [script, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', stderr], timeout: 6 * 3_600_000 });
  if (result.status !== 0) return null;
  return JSON.parse(result.stdout.trim().split('\n').at(-1)!) as Record<string, unknown>;
}
