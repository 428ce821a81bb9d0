/** `runtime`: installs, lists and removes the TensorFlow runtime pack. */
import type { Command } from 'commander';
import { Argument } from 'commander';
import { phaseTexts, type RuntimeProgress, type RuntimeStatus } from '#contract/runtime.ts';
import { bytes, duration } from '../../reports/format.ts';
import { tensorflowStatus } from '../../runtime/index.ts';
import { installTensorflow, removeTensorflow } from '../../runtime/install.ts';
import type { CliContext } from '../context.ts';
import { collect, examples, jsonOption } from '../options.ts';

interface InstallFlags {
  wheel?: string;
  index?: string;
  cuda?: boolean;
  cudaFrom?: string[];
  json?: boolean;
}

type Status = Omit<RuntimeStatus, 'installing'>;

export function addRuntime(program: Command, context: CliContext): void {
  const runtime = program.command('runtime').description('install, list and remove optional runtimes (TensorFlow)');
  const name = () => new Argument('<name>', 'the runtime').choices(['tensorflow']);
  const install = runtime
    .command('install')
    .description('fetch TensorFlow’s libraries, build the binding against them, and keep both in a folder of their own')
    .addArgument(name())
    .option('--wheel <file>', 'take this wheel instead of fetching one')
    .option('--index <url>', 'Python package index to fetch from (PIP_INDEX_URL, or https://pypi.org/simple)')
    .option('--cuda', 'the build for NVIDIA GPUs (Linux on x86-64)')
    .option('--cuda-from <path>', 'where CUDA libraries are: a Python, its site-packages, or a folder; may be repeated', collect)
    .addOption(jsonOption());
  examples(install, [
    'runtime install tensorflow',
    'runtime install tensorflow --wheel tensorflow_cpu-2.21.0-cp312-cp312-manylinux_2_27_x86_64.whl',
    'runtime install tensorflow --cuda --cuda-from ~/venv/bin/python',
  ]).action((_name: string, flags: InstallFlags) => installCommand(context, flags));
  const remove = runtime
    .command('remove')
    .description('delete a runtime and everything that was fetched for it')
    .addArgument(name())
    .addOption(jsonOption());
  examples(remove, ['runtime remove tensorflow']).action(async (_name: string, { json = false }: { json?: boolean }) => {
    const { removed } = await removeTensorflow();
    context.print(json, { name: 'tensorflow', removed }, () => (removed ? 'TensorFlow was removed.' : 'TensorFlow was not installed.'));
  });
  const list = runtime.command('list').description('show what is installed and where').addOption(jsonOption());
  examples(list, ['runtime list', 'runtime list --json']).action(({ json = false }: { json?: boolean }) => {
    const status = tensorflowStatus();
    context.print(json, [status], () => describe(status));
  });
}

async function installCommand(context: CliContext, { json = false, ...flags }: InstallFlags): Promise<void> {
  const startedAt = Date.now();
  await installTensorflow({
    ...flags,
    cuda: flags.cuda || flags.cudaFrom !== undefined,
    nodeFile: process.env.ROUNDOFF_NODE ?? process.execPath,
    signal: context.signal,
    onProgress: (progress) => context.progress.update(phaseTexts[progress.phase], details(progress)),
  });
  context.progress.clear();
  const status = tensorflowStatus();
  context.print(
    json,
    status,
    () => `${describe(status)}\nInstalled in ${duration(Date.now() - startedAt)}; choose it with --backend tensorflow.`,
  );
}

function details({ doneBytes, totalBytes, bytesPerSecond, secondsLeft }: RuntimeProgress): string {
  if (doneBytes === null) return '';
  const amount = totalBytes === null ? bytes(doneBytes) : `${bytes(doneBytes)} of ${bytes(totalBytes)}`;
  return [
    amount,
    ...(bytesPerSecond === null ? [] : [`${bytes(Math.round(bytesPerSecond))}/s`]),
    ...(secondsLeft === null ? [] : [`${duration(secondsLeft * 1000)} left`]),
  ].join(', ');
}

function describe({ name, dir, installed, problem }: Status): string {
  if (!installed) return `${name}  not installed${problem ? `: ${problem}` : ` (${dir})`}`;
  const { version, variant, sizeBytes, wheel } = installed;
  return `${name}  ${version}, ${variant === 'cuda' ? 'CUDA' : 'CPU'}, ${bytes(sizeBytes)}, from ${wheel}, in ${dir}`;
}
