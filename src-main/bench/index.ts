/**
 * The performance table: each case is measured in fresh processes, ours and every peer that is installed in turn, and the best of the
 * rounds is kept for both, so that ratios come from one run on one machine.
 */
import { spawnSync } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import { type BenchCase, type BenchSuite, benchCases, benchSuites, longSuites, type Measurement } from './cases.ts';
import { findPythonPeer, measurePython } from './python-peer.ts';

/** Of cases that take many minutes. */
const longestMs = 6 * 3_600_000;

export interface BenchOptions {
  /** For the long suites: a folder made by `largeCheckpoint`. */
  modelDir: string;
  rounds: number;
  onProgress?: (text: string) => void;
}

export interface BenchRow {
  id: string;
  title: string;
  ours: Measurement;
  peers: { name: string; measurement: Measurement /** How many times faster ours is. */; ratio: number }[];
}

export interface BenchResult {
  environment: Record<string, string>;
  rows: BenchRow[];
  notes: string[];
}

/** Measures one suite or all. Throws `bad-input` for an unknown suite and `internal` when our own case fails. */
export function runBench(suite: string, options: BenchOptions): BenchResult {
  const suites: readonly string[] = ['all', ...benchSuites, ...longSuites];
  if (!suites.includes(suite)) {
    throw new RoundoffError('bad-input', `There is no bench suite "${suite}".`, `Choose one of: ${suites.join(', ')}.`);
  }
  const search = findPythonPeer();
  const python = search.found;
  const notes = search.found === null ? [`PyTorch was not measured: ${search.reason}.`] : [];
  const rows = benchCases
    .filter((entry) => (suite === 'all' ? benchSuites.some((name) => name === entry.suite) : entry.suite === (suite as BenchSuite)))
    .map((entry) => {
      const contestants: { name: string; measure: () => Measurement | null }[] = [
        { name: 'roundoff', measure: () => measureOurs(entry, options.modelDir) },
      ];
      if (python) contestants.push({ name: `PyTorch ${python.torch}`, measure: () => measurePython(python, entry.id, options.modelDir) });
      if (entry.stockPeer) contestants.push({ name: 'stock TF.js wasm', measure: () => runChild(`${entry.id}-stock`, options.modelDir) });
      return compare(entry, contestants, options, notes);
    });
  return { environment: environment(python), rows, notes };
}

function compare(
  entry: BenchCase,
  contestants: { name: string; measure: () => Measurement | null }[],
  options: BenchOptions,
  notes: string[],
): BenchRow {
  const best = new Map<string, Measurement>();
  for (let round = 0; round < options.rounds; round++) {
    for (const { name, measure } of contestants) {
      options.onProgress?.(`${entry.title}: ${name}, round ${round + 1} of ${options.rounds}`);
      const measurement = measure();
      const previous = best.get(name);
      if (measurement === null) continue;
      if (!previous || (entry.largerIsBetter ? measurement.value > previous.value : measurement.value < previous.value))
        best.set(name, measurement);
    }
  }
  const ours = best.get('roundoff');
  if (!ours) throw new RoundoffError('internal', `The bench case "${entry.id}" failed.`, 'Its message is above.');
  const peers = contestants.slice(1).flatMap(({ name }) => {
    const measurement = best.get(name);
    if (!measurement) {
      notes.push(`${entry.title}: ${name} failed.`);
      return [];
    }
    return [{ name, measurement, ratio: entry.largerIsBetter ? ours.value / measurement.value : measurement.value / ours.value }];
  });
  return { id: entry.id, title: entry.title, ours, peers };
}

function measureOurs(entry: BenchCase, modelDir: string): Measurement {
  const measurement = runChild(entry.id, modelDir);
  if (!measurement) throw new RoundoffError('internal', `The bench case "${entry.id}" failed.`, 'Its message is above.');
  return measurement;
}

function runChild(caseId: string, modelDir: string): Measurement | null {
  const child = path.resolve(import.meta.dirname, 'child.ts');
  const result = spawnSync(process.execPath, [child, caseId, modelDir], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: longestMs,
  });
  if (result.status !== 0) return null;
  return JSON.parse(result.stdout.trim().split('\n').at(-1)!) as Measurement;
}

function environment(python: { torch: string; transformers: string } | null): Record<string, string> {
  return {
    processor: `${os.cpus()[0]?.model.trim() ?? 'unknown'}, ${os.availableParallelism()} cores`,
    memory: `${(os.totalmem() / 2 ** 30).toFixed(0)} GiB`,
    node: process.version,
    ...(python ? { torch: python.torch, transformers: python.transformers } : {}),
  };
}
