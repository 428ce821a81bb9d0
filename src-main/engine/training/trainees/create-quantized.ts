/** Makes a `QuantizedTrainee` out of a float model and a scheme, or of a quantized model as it is. */
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import type { SchemeOverride } from '#contract/recipe.ts';
import { formatScheme, type QuantizationScheme } from '#contract/scheme.ts';
import type { TrainStage, TrainsOf } from '#contract/training.ts';
import { throwIfCancelled } from '../../data/cancellation.ts';
import type { PackedLinear } from '../../formats/packed-linear.ts';
import type { StoredIntegerScheme } from '../../formats/quantized-layout.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import type { LayerActivations } from '../../model/layer-activations.ts';
import { loadModel } from '../../model/load.ts';
import { decoderLinears, linearShape } from '../../model/parameters.ts';
import { groupSizeOf } from '../../observers/weight-observer.ts';
import { activationsFor } from '../../quantizers/scheme-map.ts';
import type { TrainingStart } from '../start.ts';
import { LatentWeight, type WeightGrid } from './latent-weight.ts';
import { LatentReader } from './latents.ts';
import { QuantizedTrainee } from './quantized.ts';

export interface QuantizedSource {
  start: TrainingStart;
  stage: TrainStage & { trains: TrainsOf<'quantized'> };
  baseDir: string;
  signal?: AbortSignal;
}

/** Throws `unsupported` and `bad-input` before anything is loaded, then what loading throws. */
export async function createQuantizedTrainee({ start, stage, baseDir, signal }: QuantizedSource): Promise<QuantizedTrainee> {
  refuseStart(start, stage.trains);
  const cancellation = signal ? { signal } : {};
  const model = await loadModel(start.dir, cancellation);
  const latents = new Map<string, LatentWeight>();
  const notes: string[] = [];
  try {
    const isPacked = start.schemes.size > 0;
    const activations = isPacked ? model.layerActivations() : schemeActivations(stage.trains, start);
    const reader = isPacked ? await LatentReader.open({ modelDir: start.dir, baseDir }) : null;
    try {
      for (const module of decoderLinears(model.config)) {
        throwIfCancelled(signal, 'Loading the model');
        const latent = await latentWeight(model, module, stage.trains, reader);
        if (latent) latents.set(module, latent);
      }
      notes.push(...(reader?.notes() ?? []));
    } finally {
      await reader?.close();
    }
    if (isPacked && stage.trains.scales === 'live')
      notes.push('Scales are live: from the first step on they are recomputed from the whole range of the latent weights');
    const { others } = stage.trains;
    const { quantizationStart, activationCheckpointing } = stage;
    const trainee = new QuantizedTrainee(model, latents, {
      ...{ others, start: quantizationStart, activations, activationCheckpointing, sourceDir: start.dir, notes },
    });
    await trainee.beginStep(0);
    return trainee;
  } catch (error) {
    for (const latent of latents.values()) latent.dispose();
    model.dispose();
    throw error;
  }
}

/** The latent weight of a linear that is to be rounded, whose place in the model becomes dense; null for one that stays float. */
async function latentWeight(
  model: LanguageModel,
  module: string,
  trains: TrainsOf<'quantized'>,
  reader: LatentReader | null,
): Promise<LatentWeight | null> {
  const isChosen = isTrained(module, trains);
  const shape = linearShape(model.config, module);
  if (!reader) {
    if (!isChosen) return null;
    const latent = new LatentWeight(module, model.linear(module).weight(), schemeGrid(trains, shape[1]));
    if (trains.scales === 'frozen') await latent.freeze();
    return latent;
  }
  const stored = (await model.linear(module).stored()) as PackedLinear | null;
  if (!stored) return null;
  const isFrozen = trains.scales === 'frozen';
  if (!isChosen) {
    const weight = model.linear(module).weight();
    model.setParameter(`${module}.weight`, await weight.data<'float32'>(), shape);
    weight.dispose();
    model.restoreDense(module);
    return null;
  }
  const values = await reader.read(module, stored, isFrozen);
  const { bits, symmetric, groupSize, scaleType } = stored;
  const { perTensor } = trains;
  const groupIndex = perTensor ? null : stored.groupIndex;
  const grid: WeightGrid = { bits, symmetric, groupSize, groupIndex, perTensor, ...(scaleType ? { scaleType } : {}) };
  const latent = new LatentWeight(module, tf.tensor2d(values, shape), grid);
  if (isFrozen) await latent.freeze(stored);
  // Its place is filled with the rounded weight at the beginning of each step.
  model.setParameter(`${module}.weight`, values, shape);
  model.restoreDense(module);
  return latent;
}

function schemeGrid({ scheme, perTensor }: TrainsOf<'quantized'>, inFeatures: number): WeightGrid {
  const { bits, symmetric } = scheme!;
  return { bits, symmetric, groupSize: groupSizeOf(scheme!, inFeatures), groupIndex: null, perTensor };
}

/** What the scheme says of activations, keys and values, at the linears that are trained so. */
function schemeActivations({ scheme, modules }: TrainsOf<'quantized'>, { config }: TrainingStart): (LayerActivations | null)[] {
  const overrides: SchemeOverride[] = [
    ...modules.map((name) => ({ pattern: `*.${name}`, scheme: scheme! })),
    { pattern: '*', scheme: null },
  ];
  const stage = { type: 'quantize', method: 'rtn', scheme: scheme!, overrides, options: { mseSearch: false } } as const;
  return Array.from({ length: config.layers }, (_, index) => activationsFor({ ...stage, overrides }, index));
}

function isTrained(module: string, { modules }: TrainsOf<'quantized'>): boolean {
  return modules.some((name) => module.endsWith(`.${name}`));
}

function refuseStart({ config, schemes, adapter, isInt8, dir }: TrainingStart, trains: TrainsOf<'quantized'>): void {
  if (adapter)
    throw new RoundoffError(
      'unsupported',
      `The model in ${dir} has a LoRA adapter beside its weights, which fake-quantized training cannot go on from.`,
      'Train it as "lora", or export it as "dequantized" first, which merges the adapter.',
    );
  const nf4 = [...schemes].find(([, scheme]) => scheme.coding === 'nf4');
  if (nf4)
    throw new RoundoffError(
      'unsupported',
      `${nf4[0]} is stored as NF4, through whose codes no gradient passes.`,
      'Train LoRA on it (trains.kind "lora"), or start from an integer scheme such as W4G64.',
    );
  if (isInt8)
    throw new RoundoffError(
      'unsupported',
      `The model in ${dir} is quantized by LLM.int8(), whose outliers at run time are not trained with.`,
      'Start from the unquantized model with a scheme such as W8 or W8A8, or train LoRA on this one.',
    );
  if (schemes.size === 0) refuseScheme(config, trains);
  else refuseOtherScheme(config, schemes as Map<string, StoredIntegerScheme>, trains);
  if (schemes.size > 0 && trains.perTensor && trains.scales === 'frozen')
    throw new RoundoffError(
      'bad-input',
      'A quantized model has no scale per matrix to freeze.',
      'Choose scales "live", or start from the unquantized model.',
    );
}

/** A float model needs a scheme, whose groups divide what they group. */
function refuseScheme(config: TrainingStart['config'], trains: TrainsOf<'quantized'>): void {
  const { scheme, perTensor } = trains;
  if (!scheme)
    throw new RoundoffError(
      'bad-input',
      'The model is not quantized, and the train stage names no scheme to quantize it with.',
      'Set trains.scheme, for example W3G128, or put a quantize stage before.',
    );
  const size = scheme.groupSize;
  if (size === null || perTensor) return;
  const misfits = decoderLinears(config).filter((module) => isTrained(module, trains) && linearShape(config, module)[1] % size !== 0);
  if (misfits.length === 0) return;
  throw new RoundoffError(
    'bad-input',
    `Group size ${size} does not divide the inputs of ${misfits.length} linears, such as the ${linearShape(config, misfits[0]!)[1]} of ${misfits[0]}.`,
    'Choose a group size that divides them, or one scale per channel.',
    { problems: misfits },
  );
}

/** A scheme beside a quantized model must be that of its linears. */
function refuseOtherScheme(
  config: TrainingStart['config'],
  schemes: Map<string, StoredIntegerScheme>,
  trains: TrainsOf<'quantized'>,
): void {
  const { scheme } = trains;
  const chosen = [...schemes].filter(([module]) => isTrained(module, trains));
  if (chosen.length === 0)
    throw new RoundoffError(
      'bad-input',
      `None of the linears to train (${trains.modules.join(', ')}) is quantized in this model.`,
      'Name linears in trains.modules that are, or start from the unquantized model with a scheme.',
    );
  if (!scheme) return;
  const other = chosen.find(([module, stored]) => !isSameGrid(scheme, stored, linearShape(config, module)[1]));
  if (!other) return;
  const [module, { bits, symmetric, groupSize }] = other;
  throw new RoundoffError(
    'bad-input',
    `The stage trains in ${formatScheme(scheme)}, but ${module} is stored with ${bits} bits, ${symmetric ? 'symmetric' : 'asymmetric'}, in groups of ${groupSize}.`,
    'Leave trains.scheme out to train the model in its own scheme, or start from the unquantized model.',
  );
}

function isSameGrid(scheme: QuantizationScheme, { bits, symmetric, groupSize }: StoredIntegerScheme, inFeatures: number): boolean {
  return scheme.bits === bits && scheme.symmetric === symmetric && groupSizeOf(scheme, inFeatures) === groupSize;
}
