/** `doctor`: what this machine offers and what is missing. */
import type { Command } from 'commander';
import type { GpuDescription } from '#contract/gpu.ts';
import { doctor } from '../../ipc/doctor.ts';
import { bytes } from '../../reports/format.ts';
import type { CliContext } from '../context.ts';
import { examples, jsonOption } from '../options.ts';

export function addDoctor(program: Command, context: CliContext): void {
  const command = program.command('doctor').description('show Node, backends, Electron, disk and memory, and what is missing');
  examples(command.addOption(jsonOption()), ['doctor', 'doctor --json']).action(async ({ json = false }: { json?: boolean }) => {
    const { version, workerEntry } = context;
    const nodeFile = process.env.ROUNDOFF_NODE ?? process.execPath;
    const report = await doctor({ version, nodeFile, workerEntry, dir: process.cwd() });
    context.print(json, report, () =>
      [
        `Roundoff ${report.version} on Node ${report.node}, ${report.platform}`,
        `Processor  ${report.cpu}, ${report.cores} cores`,
        `Memory     ${bytes(report.freeMemoryBytes)} of ${bytes(report.memoryBytes)} free`,
        `Disk       ${bytes(report.freeDiskBytes)} free`,
        `Electron   ${report.electron ?? 'not installed; the browser host is used'}`,
        'Backends',
        ...report.backends.flatMap(({ name, available, device, reason, gpu }) => [
          `  ${name.padEnd(10)}  ${available ? 'available' : 'not available'}${device ? `, ${device}` : ''}${reason ? `: ${reason}` : ''}`,
          ...(gpu ? [`  ${' '.repeat(10)}  ${gpuText(gpu)}`] : []),
        ]),
        ...report.problems.map(({ severity, where, message, hint }) => `${severity}: ${where}: ${message} ${hint}`),
      ].join('\n'),
    );
    if (report.problems.some((problem) => problem.severity === 'error')) context.exitCode = 1;
  });
}

function gpuText({ memoryBytes, bindingBytes, f16, subgroups, subgroupMatrices, timestamps }: GpuDescription): string {
  const lanes = subgroups && (subgroups.min === subgroups.max ? subgroups.max : `${subgroups.min} to ${subgroups.max}`);
  return [
    memoryBytes === null ? 'memory unknown' : `${bytes(memoryBytes)} of memory`,
    `bindings of ${bytes(bindingBytes)}`,
    f16 ? 'half precision' : 'no half precision',
    lanes ? `subgroups of ${lanes}` : 'no subgroups',
    subgroupMatrices.length > 0 ? `subgroup matrices ${subgroupMatrices.join(', ')}` : 'no subgroup matrices',
    timestamps ? 'timestamps' : 'no timestamps',
  ].join('; ');
}
