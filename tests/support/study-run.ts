/** Real services with real workers over a tiny model, and a study that takes a few seconds; for integration tests. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { CommandName, CommandOutput } from '#contract/commands.ts';
import { fromErrorInfo } from '#contract/errors.ts';
import { type StudySpec, studySpecSchema } from '#contract/recipe.ts';
import { finalRunStatuses, type HostEvent, type RunRecord } from '#contract/records.ts';
import { studyResult } from '../../src-main/cli/study-result.ts';
import { createServices, type Services, type ServicesOptions } from '../../src-main/ipc/services.ts';
import { testBackend } from './test-backend.ts';

export const root = path.resolve(import.meta.dirname, '../..');
export const workerEntry = path.join(root, 'src-main/worker/index.ts');
export const resourcesDir = path.join(root, 'resources');

const scheme = (bits: 2 | 4, groupSize: number | null) =>
  ({ bits, symmetric: false, strategy: groupSize === null ? 'channel' : 'group', groupSize }) as const;

/** Baseline, RTN and GPTQ; `problems` × 3 seeds × 2 benchmarks completions each. */
export function tinyStudy(modelDir: string, problems = 20): StudySpec {
  return studySpecSchema.parse({
    name: 'Tiny study',
    models: [modelDir],
    variants: [
      { name: 'RTN W4', stages: [{ type: 'quantize', method: 'rtn', scheme: scheme(4, null) }] },
      {
        name: 'GPTQ W2G32',
        stages: [
          {
            type: 'quantize',
            method: 'gptq',
            scheme: scheme(2, 32),
            calibration: { path: 'sample:calibration/abacus.jsonl', samples: 8, sequenceLength: 32, seed: 0 },
          },
          { type: 'export', format: 'dequantized' },
        ],
      },
    ],
    benchmarks: [
      { name: 'sums', path: 'sample:benchmarks/abacus-sums.jsonl' },
      { name: 'chains', path: 'sample:benchmarks/abacus-chains.jsonl' },
    ],
    protocol: {
      temperature: 0.6,
      topP: 0.95,
      topK: 0,
      maxNewTokens: 64,
      seeds: [1, 2, 3],
      systemPrompt: null,
      promptTemplate: '{question}',
      verifier: 'maths-1',
      problemsPerBenchmark: problems,
    },
    backend: testBackend,
  });
}

/** Services and everything they emitted; `command` throws what `dispatch` returns as an error. */
export class Workbench {
  readonly services: Services;
  readonly events: HostEvent[] = [];

  constructor(home: string, options: Partial<ServicesOptions> = {}) {
    this.services = createServices({ host: 'cli', version: '0.0.0-test', resourcesDir, workerEntry, appDataDir: home, ...options });
    this.services.onEvent((event) => this.events.push(event));
  }

  async command<K extends CommandName>(name: K, input: unknown): Promise<CommandOutput<K>> {
    const result = await this.services.dispatch(name, input);
    if (!result.ok) throw fromErrorInfo(result.error);
    return result.value;
  }

  /** Resolves with the first event, past or future, that `select` maps to something. */
  async when<T>(select: (event: HostEvent) => T | null | undefined | false): Promise<T> {
    let next = 0;
    for (;;) {
      for (; next < this.events.length; next++) {
        const found = select(this.events[next]!);
        if (found) return found;
      }
      await new Promise<void>((resolve) => {
        const unsubscribe = this.services.onEvent(() => {
          unsubscribe();
          resolve();
        });
      });
    }
  }

  /** Resolves when no run is queued or running. */
  async settled(): Promise<void> {
    while (this.services.activeRuns() > 0) {
      await new Promise<void>((resolve) => {
        const unsubscribe = this.services.onEvent((event) => {
          if (event.type !== 'run-changed') return;
          unsubscribe();
          resolve();
        });
      });
    }
  }

  async ended(runId: string): Promise<RunRecord> {
    for (;;) {
      const { run } = await this.command('runs.snapshot', { runId });
      if (finalRunStatuses.includes(run.status)) return run;
      await this.when((event) => event.type === 'run-changed' && event.run.id === runId && finalRunStatuses.includes(event.run.status));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** The rows of a study as the command line prints them. */
  async rows(studyId: number): Promise<unknown> {
    return (studyResult(await this.command('studies.show', { studyId })) as { rows: unknown }).rows;
  }
}

/** Processes this one started that run the worker's script (Linux). */
export function workerProcesses(parent = process.pid): number[] {
  if (!existsSync('/proc/self/stat')) throw new Error('finding worker processes needs /proc');
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        const parentPid = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
        return parentPid === parent && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('worker');
      } catch {
        return false;
      }
    });
}
