/**
 * Every check and measurement of the GPU in one run, on a machine that needs nothing but its driver: kernels against their references, the
 * small study against the processor's, and the marks beside the peers that the machine has. Prints one table; a part that fails or runs out
 * of time is listed as such. Exit code 0, 1 (a check failed) or 2 (bad usage, no GPU).
 */
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import koffi from 'koffi';
import { toErrorInfo } from '#contract/errors.ts';
import { appRoot } from '../app-root.ts';
import { type PeerCaseId, peerCaseIds } from '../peers/cases.ts';
import type { DeviceDescription } from '../peers/environment.ts';
import { runPeers } from '../peers/index.ts';
import { isFailure, lastAnswer, runChild } from '../peers/run-child.ts';
import { peerSizes } from '../peers/sizes.ts';
import { runAllChecks } from './checks-part.ts';
import { type GpuReport, reportFailed, reportMarkdown } from './report.ts';
import { runStudies } from './study-part.ts';
import { vulkanEnvironment } from './vulkan-environment.ts';

const usage = `usage: gpu-check.sh [options]
  --out FOLDER          also write gpu-check.md and gpu-check.json there (default: $OUT, where that is set)
  --minutes N           time for everything (default 10)
  --quick               small sizes
  --allow-software      accept a software adapter
  --cases NAME,…        these measurements alone: ${peerCaseIds.join(', ')}, or none
  --checks TEXT         only the reference checks whose name has this text
  --skip PART,…         without these parts: checks, study, peers`;

const root = appRoot();
process.exit(await main());

async function main(): Promise<number> {
  const options = readOptions();
  if (typeof options === 'string') {
    console.error(`${options}\n${usage}`);
    return 2;
  }
  const started = performance.now();
  const deadline = started + options.minutes * 60_000;
  const say = (text: string) => console.error(`[${Math.round((performance.now() - started) / 1000)} s] ${text}`);
  const vulkan = await vulkanEnvironment(
    { loads, carried: process.env.ROUNDOFF_CARRIED_LIBRARIES ?? null, workDir: await mkdtemp(path.join(os.tmpdir(), 'roundoff-vulkan-')) },
    process.env,
  );
  Object.assign(process.env, vulkan.variables);
  const device = lastAnswer<DeviceDescription>(runChild({ task: 'environment', backend: 'webgpu' }, { limitMs: 120_000 }));
  if (isFailure(device)) {
    console.error([`No GPU can be used: ${device.reason}`, ...vulkan.notes].join('\n'));
    return 2;
  }
  if (device.software && !options.allowSoftware) {
    console.error(`The only adapter is a software one (${device.device}); figures of it mean nothing. Give --allow-software to go on.`);
    return 2;
  }
  say(device.device);
  const report: GpuReport = {
    ...{ date: new Date().toISOString().slice(0, 10), command: ['gpu-check.sh', ...process.argv.slice(2)].join(' '), device },
    ...{ system: `${os.type()} ${os.release()}`, notes: vulkan.notes, checks: null, study: null, peers: null, elapsedMs: 0 },
  };
  if (!options.skip.includes('checks')) {
    say('checking kernels against their references');
    report.checks = runAllChecks(options.checks, started + 0.4 * (deadline - started));
  }
  if (!options.skip.includes('study')) {
    say('running the study on the GPU and on the processor');
    const limit = Math.min(deadline, performance.now() + 0.25 * (deadline - started));
    report.study = await runStudies(root, options.quick, limit).catch((error: unknown) => ({ reason: toErrorInfo(error).message }));
  }
  const sizes = peerSizes({ quick: options.quick });
  report.peers = runPeers({
    ...{ backend: 'webgpu', sizes, quick: options.quick, cases: options.cases, withPeers: !options.skip.includes('peers') },
    ...{ deadline, onProgress: say },
  });
  report.elapsedMs = performance.now() - started;
  const markdown = reportMarkdown(report);
  console.log(markdown);
  if (options.out) {
    await mkdir(options.out, { recursive: true });
    await writeFile(path.join(options.out, 'gpu-check.md'), `${markdown}\n`);
    await writeFile(path.join(options.out, 'gpu-check.json'), `${JSON.stringify(report, null, 2)}\n`);
  }
  return reportFailed(report) ? 1 : 0;
}

interface Options {
  out: string | undefined;
  minutes: number;
  quick: boolean;
  allowSoftware: boolean;
  cases: PeerCaseId[];
  /** Part of their names; all have the empty one. */
  checks: string;
  skip: string[];
}

/** A message for what cannot be understood. */
function readOptions(): Options | string {
  try {
    const { values } = parseArgs({
      options: {
        ...{ out: { type: 'string' }, minutes: { type: 'string', default: '10' }, quick: { type: 'boolean', default: false } },
        ...{
          'allow-software': { type: 'boolean', default: false },
          cases: { type: 'string' },
          checks: { type: 'string', default: '' },
          skip: { type: 'string', default: '' },
        },
      } as const,
    });
    const minutes = Number(values.minutes);
    const named = values.cases?.split(',').filter((name) => name !== 'none') ?? [...peerCaseIds];
    const unknown = named.find((name) => !peerCaseIds.some((id) => id === name));
    if (!(minutes > 0)) return `--minutes ${values.minutes} is no time`;
    if (unknown) return `there is no case "${unknown}"`;
    return {
      ...{ out: values.out ?? process.env.OUT, minutes, quick: values.quick, allowSoftware: values['allow-software'] },
      ...{ cases: named as PeerCaseId[], checks: values.checks, skip: values.skip.split(',') },
    };
  } catch (error) {
    return (error as Error).message;
  }
}

function loads(library: string): boolean {
  try {
    koffi.load(library);
    return true;
  } catch {
    return false;
  }
}
