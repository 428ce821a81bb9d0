/** `bench`: the performance table, with peers beside us where they are installed. */
import { type Command, Option } from 'commander';
import { RoundoffError } from '#contract/errors.ts';
import type { BackendName } from '#contract/worker.ts';
import { writeWholeFile } from '../../engine/formats/atomic-file.ts';
import type { CliContext } from '../context.ts';
import { examples, jsonOption, positiveWholeNumber, userPath } from '../options.ts';

interface BenchOptions {
  model: string;
  rounds: number;
  layers: number;
  out?: string;
  json?: boolean;
  backend: BackendName;
  modelShape?: string;
  quick?: boolean;
  cases?: string[];
}

export function addBench(program: Command, context: CliContext): void {
  const command = program
    .command('bench [suite]')
    .description('measure training, generation, quantization and loading, beside the peers that are installed')
    .option('--model <folder>', 'model for the cases that need one', 'sample:abacus')
    .option('--rounds <n>', 'rounds per case; the best counts', positiveWholeNumber, 3)
    .option('--layers <n>', 'quantize-large: decoder layers of the random model', positiveWholeNumber, 28)
    .addOption(new Option('--backend <name>', 'peers: what we compute on').choices(['wasm', 'webgpu', 'tensorflow']).default('wasm'))
    .option('--model-shape <name>', 'peers: shape of the random model: qwen3-0.6b, abacus or quick')
    .option('--quick', 'peers: small sizes, for processors and software adapters')
    .option('--cases <names...>', 'peers: these cases alone')
    .option('--out <file>', 'also write the table to this file')
    .addOption(jsonOption());
  examples(command, [
    'bench',
    'bench generate --rounds 5 --json',
    'bench quantize-large',
    'bench peers --backend webgpu',
    'bench peers --quick --cases gemm-f32 decode-1',
  ]).action(async (suite: string | undefined, options: BenchOptions) => {
    if (suite === 'peers') return benchPeers(options, context);
    const { runBench } = await import('../../bench/index.ts');
    const { benchMarkdown } = await import('../../bench/table.ts');
    const isLarge = suite === 'quantize-large';
    const { largeCheckpoint } = await import('../../engine/bench/large.ts');
    const modelDir = isLarge ? await largeCheckpoint(options.layers) : userPath(options.model, context.resourcesDir);
    const rounds = isLarge ? 1 : options.rounds;
    const result = runBench(suite ?? 'all', { modelDir, rounds, onProgress: (text) => context.progress.update(text) });
    context.progress.clear();
    if (options.out) await writeWholeFile(userPath(options.out, context.resourcesDir), `${benchMarkdown(result)}\n`);
    context.print(options.json ?? false, result, () => benchMarkdown(result));
  });
}

async function benchPeers(
  { backend, modelShape, quick = false, cases, out, json = false }: BenchOptions,
  context: CliContext,
): Promise<void> {
  const { peerCaseIds } = await import('../../bench/peers/cases.ts');
  const { runPeers } = await import('../../bench/peers/index.ts');
  const { peerSizes } = await import('../../bench/peers/sizes.ts');
  const { peersMarkdown } = await import('../../bench/peers/table.ts');
  const unknown = cases?.find((name) => !peerCaseIds.some((id) => id === name));
  if (unknown) throw new RoundoffError('bad-input', `There is no case "${unknown}".`, `Choose among: ${peerCaseIds.join(', ')}.`);
  const result = runPeers({
    ...{ backend, quick, sizes: peerSizes({ quick, shape: modelShape }) },
    cases: cases ? peerCaseIds.filter((id) => cases.includes(id)) : undefined,
    onProgress: (text) => context.progress.update(text),
  });
  context.progress.clear();
  if (out) await writeWholeFile(userPath(out, context.resourcesDir), `${peersMarkdown(result)}\n`);
  context.print(json, result, () => peersMarkdown(result));
  if (result.rows.some(({ ours }) => ours === null) || result.rows.length === 0) context.exitCode = 1;
}
