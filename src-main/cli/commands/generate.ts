/** `generate`: completions of prompts, for trying a model. */
import type { Command } from 'commander';
import { selectBackend } from '../../engine/backends/select.ts';
import { renderPrompt } from '../../engine/benchmarks/prompts.ts';
import { frozenStorage, loadModel } from '../../engine/model/load.ts';
import { loadTokenizer } from '../../engine/model/tokenizer.ts';
import { createGenerator } from '../../engine/rollouts/generator.ts';
import type { GenerationResult } from '../../engine/rollouts/settings.ts';
import { affordableSlots } from '../../engine/rollouts/slots.ts';
import type { CliContext } from '../context.ts';
import { addCompletionOptions, type CompletionOptions, collect, examples, jsonOption, userPath, wholeNumber } from '../options.ts';

interface GenerateOptions extends CompletionOptions {
  prompt: string[];
  seed: number;
  json?: boolean;
}

export function addGenerate(program: Command, context: CliContext): void {
  const command = program
    .command('generate <model>')
    .description("completions of prompts, through the model's chat template where it has one")
    .requiredOption('--prompt <text>', 'prompt; may be given several times', collect)
    .option('--seed <n>', 'seed of the sampling', wholeNumber, 42)
    .addOption(jsonOption());
  examples(addCompletionOptions(command), [
    'generate sample:abacus --prompt "345+278=?"',
    'generate sample:abacus --prompt "gcd(84,36)=?" --temperature 0 --json',
  ]).action((model: string, options: GenerateOptions) => generate(context, userPath(model, context.resourcesDir), options));
}

async function generate(context: CliContext, dir: string, options: GenerateOptions): Promise<void> {
  const { temperature, topP, topK, maxNewTokens, seed } = options;
  const { signal, progress } = context;
  await selectBackend(options.backend);
  const model = await loadModel(dir, { signal, storage: frozenStorage() });
  const tokenizer = await loadTokenizer(dir, { vocabSize: model.config.vocabSize });
  const template = { systemPrompt: options.system ?? null, promptTemplate: '{question}' };
  const prompts = options.prompt.map((question) => renderPrompt({ question }, template, tokenizer));
  const capacity = Math.max(...prompts.map((prompt) => prompt.ids.length)) + maxNewTokens;
  const slots = await affordableSlots(model, { capacity, requests: prompts.length, onLog: (message) => progress.note(message) });
  const generator = createGenerator(model, { slots, capacity });
  if (generator.reason) progress.note(generator.reason);
  const results: GenerationResult[] = [];
  const requests = prompts.map(({ ids }, index) => ({ key: String(index), promptIds: ids, seed, stream: `prompt/${index}` }));
  await generator.run(
    requests,
    { temperature, topP, topK, maxNewTokens, stopTokenIds: [] },
    {
      signal,
      onResult: (result) => results.push(result),
      onProgress: ({ generatedTokens }) => progress.update('Generating', `${generatedTokens} tokens`),
    },
  );
  await generator.dispose();
  model.dispose();
  progress.clear();
  const completions = results
    .sort((a, b) => Number(a.key) - Number(b.key))
    .map(({ key, tokenIds, finishReason }) => {
      const visible = finishReason === 'stop' ? tokenIds.slice(0, -1) : tokenIds;
      return { prompt: options.prompt[Number(key)], completion: tokenizer.decode(visible), tokens: tokenIds.length, finishReason };
    });
  context.print(options.json ?? false, { seed, completions }, () => completions.map(({ completion }) => completion).join('\n\n'));
}
