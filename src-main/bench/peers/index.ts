/**
 * `bench peers`: ours beside every other runtime that is installed, each case with the same shapes and the same number of tokens, in one run on
 * one machine, and each figure as a share of what the device was measured to be capable of.
 */
import os from 'node:os';
import type { BackendName } from '#contract/worker.ts';
import type { Peaks } from '../../engine/bench/peaks.ts';
import { type PeerCase, type PeerCaseId, type PeerSizes, peerCases } from './cases.ts';
import { type Contestant, findPeers, type MissingPeer, ourselves } from './contestants.ts';
import type { DeviceDescription } from './environment.ts';
import type { PeerFigure, PeerFiles } from './messages.ts';
import { isFailure, lastAnswer, runChild } from './run-child.ts';

export interface PeersOptions {
  backend: BackendName;
  sizes: PeerSizes;
  quick: boolean;
  /** All when left out. */
  cases?: readonly PeerCaseId[] | undefined;
  /** False measures ourselves alone. */
  withPeers?: boolean;
  /** When this is over, in the sense of `performance.now()`. */
  deadline?: number;
  onProgress?: (text: string) => void;
}

export interface PeerEntry {
  name: string;
  figure: PeerFigure;
}

export interface PeerRow {
  id: PeerCaseId;
  title: string;
  mark: string | null;
  /** Null with the reason among `failures`. */
  ours: PeerFigure | null;
  peers: PeerEntry[];
  failures: { name: string; reason: string }[];
}

export interface PeersResult {
  device: DeviceDescription;
  environment: Record<string, string>;
  peaks: Peaks | null;
  rows: PeerRow[];
  missing: MissingPeer[];
  notes: string[];
  sizes: PeerSizes;
}

const limits = { prepareMs: 1_200_000, peaksMs: 120_000, caseMs: { full: 3_600_000, quick: 180_000 } };

/** @throws RoundoffError `backend-unavailable` when our backend does not start */
export function runPeers(options: PeersOptions): PeersResult {
  const { backend, sizes, quick, withPeers = true, onProgress = () => {} } = options;
  const left = (limit: number) => Math.min(limit, (options.deadline ?? Number.POSITIVE_INFINITY) - performance.now());
  const notes: string[] = [];
  const device = ask<DeviceDescription>(
    runChild({ task: 'environment', backend }, { limitMs: left(limits.peaksMs) }),
    notes,
    `the backend ${backend}`,
  );
  onProgress('looking for peers');
  const field = withPeers ? findPeers({ webgpu: backend === 'webgpu' && device !== null }) : { contestants: [], missing: [], versions: {} };
  const chosen = peerCases.filter(({ id }) => options.cases?.includes(id) ?? true);
  onProgress('measuring what the device can do at best');
  const peaks = ask<Peaks>(runChild({ task: 'peaks', backend, quick }, { limitMs: left(limits.peaksMs) }), notes, 'the peak of the device');
  onProgress('making models of random weights');
  const gguf = field.contestants.some(({ name }) => name.startsWith('llama.cpp'));
  const files = ask<PeerFiles>(runChild({ task: 'prepare', sizes, gguf }, { limitMs: left(limits.prepareMs) }), notes, 'the models');
  const contestants = [ourselves(backend), ...field.contestants];
  const rows =
    device === null
      ? []
      : chosen.map((entry) =>
          measureCase(entry, contestants, files ?? noFiles, options, () => left(limits.caseMs[quick ? 'quick' : 'full'])),
        );
  const environment = {
    processor: `${os.cpus()[0]?.model.trim() ?? 'unknown'}, ${os.availableParallelism()} cores`,
    ...{ memory: `${(os.totalmem() / 2 ** 30).toFixed(0)} GiB`, node: process.version, ...field.versions },
  };
  return { device: device ?? unknownDevice, environment, peaks, rows, missing: field.missing, notes, sizes };
}

const noFiles: PeerFiles = { dense: '', w4: '', nf4: '', ggufHalf: null, ggufQ4: null };
const unknownDevice: DeviceDescription = { device: 'none', software: false, features: [], limits: {} };

function ask<T extends object>(answers: Parameters<typeof lastAnswer>[0], notes: string[], what: string): T | null {
  const answer = lastAnswer<T>(answers);
  if (!isFailure(answer)) return answer;
  notes.push(`No figures of ${what}: ${answer.reason}.`);
  return null;
}

function measureCase(entry: PeerCase, contestants: Contestant[], files: PeerFiles, options: PeersOptions, left: () => number): PeerRow {
  const { sizes, onProgress = () => {} } = options;
  const row: PeerRow = { id: entry.id, title: entry.title(sizes), mark: entry.mark, ours: null, peers: [], failures: [] };
  for (const [index, { name, cases, measure }] of contestants.entries()) {
    if (!cases.includes(entry.id)) continue;
    onProgress(`${row.title}: ${name}`);
    const figure = measure(entry.id, sizes, files, left());
    if (isFailure(figure)) row.failures.push({ name, reason: figure.reason });
    else if (index === 0) row.ours = figure;
    else row.peers.push({ name, figure });
  }
  return row;
}
