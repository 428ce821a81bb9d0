/**
 * Looks at a model folder before it is used: what it is, how large, and everything that is wrong with it, at once and with remedies.
 * Every weight is read (streaming) to find NaN and infinities; a bad model is a result here, never an exception.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import type { ModelInspection } from '#contract/records.ts';
import { throwIfCancelled } from '../data/cancellation.ts';
import { fileError } from '../data/json-file.ts';
import { adapterConfigFile, adapterShapes, adapterWeightsFile, openAdapter, readAdapterSettings } from '../formats/adapter.ts';
import { ProblemList } from '../formats/problems.ts';
import { companionFiles } from '../formats/quantized-checkpoint.ts';
import type { ExpectedTensor } from '../formats/quantized-layout.ts';
import { type Checkpoint, scanCheckpoint, weightsIndexFile } from '../formats/safetensors.ts';
import { gpuMemoryEstimates } from '../training/gpu-memory-tasks.ts';
import { configFile, type ModelConfig, scanModelConfig } from './config.ts';
import { checkTensors, firstNonFinite, readStoredLayout, reportNonFinite, type StoredLayout, storedShapes } from './load.ts';
import { decoderLinears, headName, parameterCount, parameterShapes } from './parameters.ts';
import { memoryEstimates, schemeSizes } from './scheme-sizes.ts';
import { floatForms, readStoredForms, type StoredForms } from './stored-forms.ts';
import { type ModelTokenizer, scanTokenizer } from './tokenizer.ts';

/** Inspects the model in `dir`. Throws `cancelled` on the signal, and nothing else for any contents of the folder. */
export async function inspectModel(dir: string, options: { signal?: AbortSignal } = {}): Promise<ModelInspection> {
  const path = resolve(dir);
  const problems = new ProblemList();
  const blank = blankInspection(path, problems);
  if (!(await isFolder(path, problems))) return blank;
  const config = await scanModelConfig(path, problems);
  const checkpoint = await scanCheckpoint(path, problems);
  const adapter = config ? await scanAdapter(path, config, problems, options.signal) : null;
  try {
    const layout: StoredLayout = config ? await readStoredLayout(checkpoint, config, problems) : { schemes: new Map(), activations: [] };
    if (config) checkNames(checkpoint, storedShapes(config, layout), config, problems);
    await checkValues(checkpoint, problems, options.signal);
    const tokenizer = await scanTokenizer(path, config?.vocabSize ?? null, problems);
    if (config && tokenizer) checkTokens(config, tokenizer, problems);
    const files = await listFiles(path, checkpoint);
    return {
      ...blank,
      ...(config ? describe(config, checkpoint, { isQuantized: layout.schemes.size > 0, adapterParameters: adapter ?? 0 }) : {}),
      memory: config ? [...memoryEstimates(config), ...gpuMemoryEstimates(await formsOf(path, config, problems))] : [],
      dtype: storedTypes(checkpoint),
      files,
      sizeBytes: files.reduce((sum, file) => sum + file.sizeBytes, 0),
      hash: await hashFiles(path, files, problems, options.signal),
      chatTemplate: tokenizer?.chatTemplate != null,
    };
  } finally {
    await checkpoint.close();
  }
}

/** Throws one `model-invalid` error that lists everything an inspection found wrong; asked before long work on the model. */
export function requireUsable({ path: dir, problems }: ModelInspection): void {
  const errors = problems.filter(({ severity }) => severity === 'error');
  const [first] = errors;
  if (!first) return;
  throw new RoundoffError('model-invalid', `${dir}: ${first.where}: ${first.message}`, first.hint, {
    problems: errors.map(({ where, message }) => `${where}: ${message}`),
  });
}

function blankInspection(path: string, problems: ProblemList): ModelInspection {
  const numbers = {
    parameters: 0,
    layers: 0,
    hiddenSize: 0,
    intermediateSize: 0,
    attentionHeads: 0,
    keyValueHeads: 0,
    headDim: 0,
    vocabSize: 0,
    contextLength: 0,
  };
  const lists = { files: [], schemeSizes: [], memory: [], problems: problems.items };
  return {
    path,
    name: basename(path),
    architecture: 'unknown',
    ...numbers,
    tiedEmbeddings: false,
    dtype: '',
    sizeBytes: 0,
    hash: '',
    chatTemplate: false,
    ...lists,
  };
}

async function isFolder(path: string, problems: ProblemList): Promise<boolean> {
  try {
    if ((await stat(path)).isDirectory()) return true;
    problems.error(path, 'it is not a folder.', 'Choose the folder that holds config.json and the weights.', 'bad-input');
  } catch (error) {
    problems.caught(path, fileError(path, error));
  }
  return false;
}

function checkNames(checkpoint: Checkpoint, shapes: ReadonlyMap<string, ExpectedTensor>, config: ModelConfig, problems: ProblemList): void {
  if (checkpoint.tensors.size === 0) return;
  checkTensors(checkpoint, shapes, problems);
  const isKnownExtra = (name: string) => name.endsWith('rotary_emb.inv_freq') || (name === headName && config.tiedEmbeddings);
  for (const name of checkpoint.tensors.keys())
    if (!shapes.has(name) && !isKnownExtra(name))
      problems.warning(name, 'the architecture has no such tensor; it is ignored.', 'Check that config.json belongs to these weights.');
}

/** Number of an adapter's parameters, its files checked; null without one. */
async function scanAdapter(path: string, config: ModelConfig, problems: ProblemList, signal?: AbortSignal): Promise<number | null> {
  const settings = await readAdapterSettings(path, config, problems);
  if (!settings) return null;
  const checkpoint = await openAdapter(path, config, settings, problems);
  try {
    await checkValues(checkpoint, problems, signal);
  } finally {
    await checkpoint.close();
  }
  return [...adapterShapes(config, settings).values()].reduce((sum, { shape }) => sum + shape[0]! * shape[1]!, 0);
}

async function checkValues(checkpoint: Checkpoint, problems: ProblemList, signal?: AbortSignal): Promise<void> {
  for (const entry of checkpoint.tensors.values()) {
    if (!['F32', 'F16', 'BF16'].includes(entry.dtype)) continue;
    let start = 0;
    for await (const values of checkpoint.chunks(entry.name)) {
      throwIfCancelled(signal, 'Inspecting the model');
      const bad = firstNonFinite(values);
      if (bad >= 0) reportNonFinite(entry.name, entry.shape, start + bad, values[bad]!, problems);
      if (bad >= 0) break;
      start += values.length;
    }
  }
}

function checkTokens(config: ModelConfig, tokenizer: ModelTokenizer, problems: ProblemList): void {
  if (config.eosTokenIds.length === 0)
    problems.warning(
      configFile,
      'no end-of-text token is named; every completion will run to its length limit.',
      'Set eos_token_id in generation_config.json.',
    );
  for (const id of config.eosTokenIds)
    if (tokenizer.token(id) === null)
      problems.warning(
        configFile,
        `the end-of-text token ${id} is not in the tokenizer.`,
        'Take config.json and tokenizer.json from the same revision.',
      );
}

function describe(
  config: ModelConfig,
  checkpoint: Checkpoint,
  { isQuantized, adapterParameters }: { isQuantized: boolean; adapterParameters: number },
): Partial<ModelInspection> {
  const sizes = schemeSizes(config, sharedBytes(config, checkpoint));
  const adapted = adapterParameters > 0 ? 'The model has a LoRA adapter. Merge it first by exporting the model as "dequantized".' : null;
  const unsupported = isQuantized ? 'The model is already quantized. Quantize the original model.' : adapted;
  return {
    architecture: config.architecture,
    parameters: parameterCount(config) + adapterParameters,
    layers: config.layers,
    hiddenSize: config.hiddenSize,
    intermediateSize: config.intermediateSize,
    attentionHeads: config.heads,
    keyValueHeads: config.kvHeads,
    headDim: config.headDim,
    vocabSize: config.vocabSize,
    contextLength: config.contextLength,
    tiedEmbeddings: config.tiedEmbeddings,
    schemeSizes: unsupported ? sizes.map((size) => ({ ...size, unsupported })) : sizes,
  };
}

/** How the weights are stored; float32 where that cannot be said of a model with errors. */
async function formsOf(path: string, config: ModelConfig, problems: ProblemList): Promise<StoredForms> {
  return problems.items.some(({ severity }) => severity === 'error') ? floatForms(config) : readStoredForms(path, config);
}

/** Bytes of what stays as it is when the decoder linears are quantized; a tensor that is missing counts as 16-bit. */
function sharedBytes(config: ModelConfig, checkpoint: Checkpoint): number {
  const linears = new Set(decoderLinears(config).map((module) => `${module}.weight`));
  let bytes = 0;
  for (const [name, shape] of parameterShapes(config))
    if (!linears.has(name)) bytes += checkpoint.tensors.get(name)?.sizeBytes ?? 2 * shape.reduce((size, length) => size * length, 1);
  return bytes;
}

/** Stored types, the one with most bytes first. */
function storedTypes(checkpoint: Checkpoint): string {
  const bytes = new Map<string, number>();
  for (const { dtype, sizeBytes } of checkpoint.tensors.values()) bytes.set(dtype, (bytes.get(dtype) ?? 0) + sizeBytes);
  return [...bytes]
    .sort((a, b) => b[1] - a[1])
    .map(([dtype]) => dtype)
    .join(', ');
}

/** Configuration, tokenizer and weight files, by name. */
async function listFiles(path: string, checkpoint: Checkpoint): Promise<ModelInspection['files']> {
  const adapter = [adapterConfigFile, adapterWeightsFile];
  const names = new Set([configFile, weightsIndexFile, ...adapter, ...companionFiles, ...checkpoint.files.map((file) => file.name)]);
  const present = (await readdir(path)).filter((name) => names.has(name)).sort();
  return Promise.all(present.map(async (name) => ({ name, sizeBytes: (await stat(join(path, name))).size })));
}

async function hashFiles(path: string, files: ModelInspection['files'], problems: ProblemList, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for (const { name, sizeBytes } of files) {
    hash.update(`${name}\0${sizeBytes}\0`);
    try {
      for await (const chunk of createReadStream(join(path, name), { highWaterMark: 1 << 20 })) {
        throwIfCancelled(signal, 'Inspecting the model');
        hash.update(chunk as Uint8Array);
      }
    } catch (error) {
      if (signal?.aborted) throw error;
      problems.caught(name, fileError(join(path, name), error));
    }
  }
  return hash.digest('hex');
}
