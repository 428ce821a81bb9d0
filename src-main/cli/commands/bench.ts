/** `bench`: the performance table, with peers beside us where they are installed. */
import type { Command } from 'commander';
import { writeWholeFile } from '../../engine/formats/atomic-file.ts';
import type { CliContext } from '../context.ts';
import { examples, jsonOption, positiveWholeNumber, userPath } from '../options.ts';

interface BenchOptions {
  model: string;
  rounds: number;
  layers: number;
  out?: string;
  json?: boolean;
}

export function addBench(program: Command, context: CliContext): void {
  const command = program
    .command('bench [suite]')
    .description('measure training, generation, quantization and loading, beside the peers that are installed')
    .option('--model <folder>', 'model for the cases that need one', 'sample:abacus')
    .option('--rounds <n>', 'rounds per case; the best counts', positiveWholeNumber, 3)
    .option('--layers <n>', 'quantize-large: decoder layers of the random model', positiveWholeNumber, 28)
    .option('--out <file>', 'also write the table to this file')
    .addOption(jsonOption());
  examples(command, ['bench', 'bench generate --rounds 5 --json', 'bench quantize-large']).action(
    async (suite: string | undefined, options: BenchOptions) => {
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
    },
  );
}
