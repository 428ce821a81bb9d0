/**
 * Exports a model as one GGUF file for llama.cpp and what is built on it: matrices as F16, Q8_0 or Q4_0, everything else as F32. These
 * types have grids of their own, so weights that were quantized here are rounded once more.
 */
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import { readJsonObject, readOptionalJsonObject } from '../../data/json-file.ts';
import { readChatTemplate } from '../../model/chat-template.ts';
import type { ModelConfig } from '../../model/config.ts';
import { tokenizerConfigFile, tokenizerFile } from '../../model/tokenizer.ts';
import type { WrittenFile } from '../atomic-file.ts';
import { modelMetadata } from '../gguf/metadata.ts';
import { loadGgufModel, roundAsGguf } from '../gguf/model.ts';
import { type GgufParameter, ggufParameters, permuteHeads, ropeFactors, ropeFactorsName } from '../gguf/tensors.ts';
import { type GgufTensorType, ggufTensorTypes } from '../gguf/types.ts';
import { type TokenizerFiles, vocabularyMetadata, vocabularyProblem } from '../gguf/vocabulary.ts';
import { type GgufTensor, writeGguf } from '../gguf/write.ts';
import type { Exporter } from './exporter.ts';
import { schemeProblems } from './limits.ts';

export const ggufFormats = { 'gguf-f16': 'F16', 'gguf-q8_0': 'Q8_0', 'gguf-q4_0': 'Q4_0' } as const satisfies Record<
  string,
  GgufTensorType
>;
export type GgufFormat = keyof typeof ggufFormats;

/** The model to export. */
export interface GgufSource {
  config: ModelConfig;
  /** Folder with the tokenizer's files. */
  dir: string;
  /** Float values of a parameter by Hugging Face name; dequantized where it is quantized. */
  readFloats(name: string): Promise<Float32Array>;
}

export interface GgufWriteOptions {
  /** Name of the model, in the file and of the file. */
  name: string;
  /** Stored in the file as `roundoff.*`. */
  notes?: Record<string, string> | undefined;
  signal?: AbortSignal | undefined;
  onLog?: ((message: string) => void) | undefined;
}

/** The folder of the export holds one file, `<model>-<type>.gguf`. */
export function ggufExporter(format: GgufFormat): Exporter {
  return {
    problems: async (source) => [...schemeProblems(source, format), ...(await ggufProblems(source, format))],
    round: (model) => roundAsGguf(model, ggufFormats[format]),
    async load(dir, { source, signal }) {
      const name = (await readdir(dir)).find((file) => file.endsWith('.gguf'))!;
      return loadGgufModel(join(dir, name), source.config, { signal });
    },
    async write(source, dir, { modelName = basename(source.dir), metadata, signal, onLog }) {
      if (source.modules.length > 0)
        onLog?.(
          `The quantized weights of ${source.modules.length} linears are rounded again, to ${ggufFormats[format]}: results may change.`,
        );
      return [await writeGgufModel(source, dir, format, { name: modelName, notes: metadata, signal, onLog })];
    },
  };
}

/** Why a model of this configuration and tokenizer cannot be written in this format; empty when it can. */
export async function ggufProblems({ config, dir }: Pick<GgufSource, 'config' | 'dir'>, format: GgufFormat): Promise<string[]> {
  const tokenizer = await readOptionalJsonObject(join(dir, tokenizerFile), { code: 'tokenizer-invalid' });
  const vocabulary = tokenizer ? vocabularyProblem(tokenizer) : `${tokenizerFile} is missing; a GGUF file carries the vocabulary.`;
  return [...(vocabulary ? [vocabulary] : []), ...architectureProblems(config), ...rowProblems(config, format)];
}

/** `<name>-<type>.gguf`, the way llama.cpp's users name their files. */
export function ggufFileName(name: string, format: GgufFormat): string {
  return `${name.replace(/[^\w.-]+/g, '-')}-${ggufFormats[format]}.gguf`;
}

/** Writes `<dir>/<name>-<type>.gguf`. Throws `unsupported`, listing every problem, before anything is written. */
export async function writeGgufModel(source: GgufSource, dir: string, format: GgufFormat, options: GgufWriteOptions): Promise<WrittenFile> {
  const problems = await ggufProblems(source, format);
  if (problems.length > 0)
    throw new RoundoffError('unsupported', `This model cannot be exported as ${format}: ${problems[0]}`, 'Choose another format.', {
      problems,
    });
  const { config } = source;
  const type = ggufFormats[format];
  const vocabulary = vocabularyMetadata(config, await readTokenizerFiles(source.dir));
  for (const note of vocabulary.notes) options.onLog?.(note);
  const metadata = new Map([...modelMetadata(config, type, options), ...vocabulary.metadata]);
  return writeGguf(join(dir, ggufFileName(options.name, format)), metadata, listTensors(source, type), { signal: options.signal });
}

function listTensors(source: GgufSource, type: GgufTensorType): GgufTensor[] {
  const tensors: GgufTensor[] = ggufParameters(source.config, type).map((parameter) => ({
    ...parameter,
    values: () => readParameter(source, parameter),
  }));
  const factors = ropeFactors(source.config);
  if (factors) tensors.push({ name: ropeFactorsName, type: 'F32', shape: [factors.length], values: () => factors });
  return tensors;
}

async function readParameter(source: GgufSource, { source: name, shape, permutedHeads }: GgufParameter): Promise<Float32Array> {
  const values = await source.readFloats(name);
  return permutedHeads > 0 ? permuteHeads(values, shape[0]!, permutedHeads) : values;
}

/** llama.cpp reads biases of Qwen3's attention nowhere, and refuses files with tensors it does not read. */
function architectureProblems({ architecture, attentionBias }: ModelConfig): string[] {
  return architecture === 'qwen3' && attentionBias ? ['llama.cpp has no biases in the attention of Qwen3 models.'] : [];
}

function rowProblems(config: ModelConfig, format: GgufFormat): string[] {
  return ggufParameters(config, ggufFormats[format]).flatMap(({ source, shape, type }) => {
    const { blockValues } = ggufTensorTypes[type];
    const columns = shape.at(-1)!;
    return columns % blockValues === 0
      ? []
      : [`${source}: its rows of ${columns} values do not divide into ${type}'s blocks of ${blockValues}.`];
  });
}

async function readTokenizerFiles(dir: string): Promise<TokenizerFiles> {
  const broken = { code: 'tokenizer-invalid', hint: 'Download the file again.' } as const;
  const tokenizer = await readJsonObject(join(dir, tokenizerFile), broken);
  const tokenizerConfig = (await readOptionalJsonObject(join(dir, tokenizerConfigFile), broken)) ?? {};
  const template = await readChatTemplate(dir, tokenizerConfig);
  return { tokenizer, tokenizerConfig, chatTemplate: template?.text ?? null };
}
