/** `model inspect`: what a model folder holds, and every problem in it. */
import type { Command } from 'commander';
import { memoryTasks } from '#contract/memory-tasks.ts';
import type { ModelInspection } from '#contract/records.ts';
import { inspectModel } from '../../engine/model/inspect.ts';
import { bytes, count } from '../../reports/format.ts';
import type { CliContext } from '../context.ts';
import { examples, jsonOption, userPath } from '../options.ts';
import { textTable } from '../terminal.ts';

export function addModel(program: Command, context: CliContext): void {
  const model = program.command('model').description('look at model folders');
  const inspect = model.command('inspect <folder>').description('architecture, sizes per scheme, memory per task, and problems');
  examples(inspect.addOption(jsonOption()), ['model inspect sample:abacus', 'model inspect ~/models/Qwen3-0.6B --json']).action(
    async (folder: string, { json = false }: { json?: boolean }) => {
      const inspection = await inspectModel(userPath(folder, context.resourcesDir), { signal: context.signal });
      context.print(json, inspection, () => describe(inspection));
      if (inspection.problems.some((problem) => problem.severity === 'error')) context.exitCode = 2;
    },
  );
}

function describe(model: ModelInspection): string {
  const problems = model.problems.map(({ severity, where, message, hint }) => `${severity}: ${where}: ${message} ${hint}`);
  return [...(model.architecture === 'unknown' ? [] : facts(model)), ...problems].join('\n');
}

function facts(model: ModelInspection): string[] {
  const schemes = model.schemeSizes.map((entry) => [
    entry.scheme,
    entry.unsupported ? '–' : bytes(entry.sizeBytes),
    entry.unsupported ? '–' : entry.bitsPerWeight.toFixed(2),
    entry.unsupported ?? '',
  ]);
  return [
    `${model.name}: ${model.architecture}, ${count(model.parameters)} parameters, ${model.dtype}, ${bytes(model.sizeBytes)}`,
    `${model.layers} layers, hidden size ${model.hiddenSize}, ${model.attentionHeads} heads (${model.keyValueHeads} for keys and values), vocabulary ${count(model.vocabSize)}, context ${count(model.contextLength)}`,
    `chat template ${model.chatTemplate ? 'present' : 'missing'}, ${model.tiedEmbeddings ? 'tied' : 'separate'} embeddings`,
    `hash ${model.hash}`,
    '',
    textTable(['scheme', 'size', 'bits per weight', ''], schemes, new Set([1, 2])),
    '',
    ...model.memory.map(({ task, bytes: needed }) => `memory: ${memoryTasks[task]}: about ${bytes(needed)}`),
  ];
}
