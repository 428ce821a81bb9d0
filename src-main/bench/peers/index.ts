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

const limits = { prepareMs: 1_200_000, peaksMs: 120_000 };
const caseLimits = { quick: 180_000, hurried: 150_000, free: 3_600_000 };

/** @throws RoundoffError `backend-unavailable` when our backend does not start */
export function runPeers(options: PeersOptions): PeersResult {
  const { backend, sizes, quick, withPeers = true, onProgress = () => {} } = options;
  const left = (limit: number) => Math.min(limit, (options.deadline ?? Number.POSITIVE_INFINITY) - performance.now());
  const caseMs = quick ? caseLimits.quick : options.deadline === undefined ? caseLimits.free : caseLimits.hurried;
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
  const files = ask<PeerFiles>(
    runChild({ task: 'prepare', sizes, gguf, cases: chosen.map(({ id }) => id) }, { limitMs: left(limits.prepareMs) }),
    notes,
    'the models',
  );
  const contestants = [ourselves(backend), ...field.contestants];
  const rows = device === null ? [] : chosen.map((entry) => emptyRow(entry, sizes));
  const measureOne = (row: PeerRow, contestant: Contestant) => measureInto(row, contestant, files ?? noFiles, options, left(caseMs));
  // Against the clock everyone's part is measured in the order of its weight; otherwise side by side, so that a busy moment meets all.
  if (options.deadline !== undefined) for (const contestant of contestants) for (const row of rows) measureOne(row, contestant);
  else for (const row of rows) for (const contestant of contestants) measureOne(row, contestant);
  const environment = {
    processor: `${os.cpus()[0]?.model.trim() ?? 'unknown'}, ${os.availableParallelism()} cores`,
    ...{ memory: `${(os.totalmem() / 2 ** 30).toFixed(0)} GiB`, node: process.version, ...field.versions },
  };
  return { device: device ?? unknownDevice, environment, peaks, rows, missing: field.missing, notes, sizes };
}

const noFiles: PeerFiles = { dense: null, w4: null, nf4: null, ggufHalf: null, ggufQ4: null };
const unknownDevice: DeviceDescription = { device: 'none', software: false, features: [], limits: {} };

function ask<T extends object>(answers: Parameters<typeof lastAnswer>[0], notes: string[], what: string): T | null {
  const answer = lastAnswer<T>(answers);
  if (!isFailure(answer)) return answer;
  notes.push(`No figures of ${what}: ${answer.reason}.`);
  return null;
}

function emptyRow({ id, title, mark }: PeerCase, sizes: PeerSizes): PeerRow {
  return { id, title: title(sizes), mark, ours: null, peers: [], failures: [] };
}

function measureInto(row: PeerRow, contestant: Contestant, files: PeerFiles, options: PeersOptions, limitMs: number): void {
  const { name, cases, measure } = contestant;
  if (!cases.includes(row.id)) return;
  options.onProgress?.(`${row.title}: ${name}`);
  const figure = measure(row.id, options.sizes, files, limitMs);
  if (isFailure(figure)) row.failures.push({ name, reason: figure.reason });
  else if (name === ourselves(options.backend).name) row.ours = figure;
  else row.peers.push({ name, figure });
}
