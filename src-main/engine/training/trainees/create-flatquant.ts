/** Makes a `FlatquantTrainee` out of a FlatQuant checkpoint: its transforms and clip logits, and the float weights they were learnt for. */
import { basename } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import type { QuantizationScheme } from '#contract/scheme.ts';
import type { TrainStage, TrainsOf } from '#contract/training.ts';
import { throwIfCancelled } from '../../data/cancellation.ts';
import { ProblemList } from '../../formats/problems.ts';
import { trainedFile } from '../../formats/quantized-checkpoint.ts';
import type { StoredIntegerScheme } from '../../formats/quantized-layout.ts';
import { type Checkpoint, openCheckpoint, openFiles } from '../../formats/safetensors.ts';
import { LanguageModel, type ParameterMap } from '../../model/language-model.ts';
import { type LayerActivations, plainActivations, withoutTransforms } from '../../model/layer-activations.ts';
import { loadModel } from '../../model/load.ts';
import { type LayerLinear, layerLinears, linearShape, parameterShapes } from '../../model/parameters.ts';
import { clipShapes, diagonalSites, type LayerPlan, transformShapes } from '../../quantizers/flatquant/layer-plan.ts';
import { Trainables } from '../../quantizers/flatquant/trainables.ts';
import type { TrainingStart } from '../start.ts';
import { type FlatquantLayer, FlatquantTrainee } from './flatquant.ts';

export interface FlatquantSource {
  start: TrainingStart;
  stage: TrainStage & { trains: TrainsOf<'flatquant'> };
  baseDir: string;
  signal?: AbortSignal;
}

/** Throws `unsupported` for a model without FlatQuant's transforms, `bad-input` when base and checkpoint do not belong together. */
export async function createFlatquantTrainee({ start, stage, baseDir, signal }: FlatquantSource): Promise<FlatquantTrainee> {
  refuseOthers(start);
  const trained = await openTrained(start.dir);
  const base = await openCheckpoint(baseDir);
  const layers: FlatquantLayer[] = [];
  let model: LanguageModel | null = null;
  try {
    const { parameters, activations } = await readParameters(start, trained, base, signal);
    model = new LanguageModel(start.config, parameters);
    for (let index = 0; index < start.config.layers; index++) {
      const plan = planOf(start, trained, index, activations[index] ?? null);
      layers.push({ plan, trainables: await readTrainables(plan, start, trained) });
    }
    const { activationCheckpointing } = stage;
    const trainee = new FlatquantTrainee(model, layers, { activationCheckpointing, sourceDir: start.dir, notes: notesOf(start) });
    await trainee.beginStep();
    return trainee;
  } catch (error) {
    for (const { trainables } of layers) trainables?.dispose();
    model?.dispose();
    throw error;
  } finally {
    await trained.close();
    await base.close();
  }
}

function refuseOthers({ dir, schemes, hasTransforms, adapter }: TrainingStart): void {
  const remedy = 'Put a FlatQuant quantize stage before, or choose trains.kind "quantized", "lora" or "weights".';
  if (adapter || !hasTransforms || schemes.size === 0)
    throw new RoundoffError(
      'unsupported',
      `${basename(dir)} holds no transforms of FlatQuant (${trainedFile}) that could be trained${adapter ? ', but a LoRA adapter' : ''}.`,
      remedy,
    );
}

async function openTrained(dir: string): Promise<Checkpoint> {
  const problems = new ProblemList();
  const checkpoint = await openFiles(dir, [trainedFile], problems);
  problems.throwErrors(dir);
  return checkpoint;
}

/**
 * The unfolded float model: what lies outside the layers from the checkpoint, the layers from where training left them, else from the base.
 * Activations as the checkpoint has them.
 */
async function readParameters(
  start: TrainingStart,
  trained: Checkpoint,
  base: Checkpoint,
  signal: AbortSignal | undefined,
): Promise<{ parameters: ParameterMap; activations: (LayerActivations | null)[] }> {
  const folded = await loadModel(start.dir, signal ? { signal } : {});
  const parameters: ParameterMap = new Map();
  try {
    for (const [name, shape] of parameterShapes(start.config)) {
      throwIfCancelled(signal, 'Loading the model');
      if (!name.startsWith('model.layers.')) {
        parameters.set(name, tf.clone(folded.parameter(name)));
        continue;
      }
      const source = trained.has(name) ? trained : base;
      if (source.tensors.get(name)?.shape.join() !== shape.join()) throw foreignBase(base.dir, name);
      parameters.set(name, tf.tensor(await source.readFloats(name), shape));
    }
    return { parameters, activations: folded.layerActivations() };
  } catch (error) {
    tf.dispose([...parameters.values()]);
    throw error;
  } finally {
    folded.dispose();
  }
}

/** What the layer's transforms and quantizers are, as the checkpoint stores them. */
function planOf(
  { config, dir, schemes }: TrainingStart,
  trained: Checkpoint,
  index: number,
  activations: LayerActivations | null,
): LayerPlan {
  const prefix = `model.layers.${index}`;
  const has = (name: string) => trained.has(`${prefix}.flatquant.${name}`);
  requireTransforms(dir, prefix, has, activations ?? plainActivations());
  const sizeOf = (name: string) => (has(name) ? trained.entry(`${prefix}.flatquant.${name}`).shape[0]! : 1);
  const splits = diagonalSites.map((site) => [site, has(`${site}.right`) ? [sizeOf(`${site}.left`), sizeOf(`${site}.right`)] : null]);
  const schemeOf = (name: LayerLinear) => {
    const module = `${prefix}.${name}`;
    return schemeFrom(schemes.get(module) as StoredIntegerScheme | undefined, linearShape(config, module)[1]);
  };
  return {
    ...{ index, prefix, heads: config.heads, headDim: config.headDim },
    schemes: Object.fromEntries(layerLinears.map((name) => [name, schemeOf(name)])) as LayerPlan['schemes'],
    splits: Object.fromEntries(splits) as LayerPlan['splits'],
    ...{ transformsValues: has('values'), transformsHeads: has('heads'), transformsKeys: has('keys') },
    quantizers: withoutTransforms(activations ?? plainActivations()),
  };
}

/** What the layer transforms while it computes must be among what can be trained. */
function requireTransforms(dir: string, prefix: string, has: (name: string) => boolean, activations: LayerActivations): void {
  const online: [string, boolean][] = [
    ...diagonalSites.map((site): [string, boolean] => [`${site}.right`, activations[site].transform !== null]),
    ['heads', (activations.attentionOutput.transform?.left ?? null) !== null],
    ['keys', activations.keys.transform !== null],
  ];
  const missing = online.find(([name, isOnline]) => isOnline !== has(name));
  if (missing) throw incomplete(dir, `${prefix}.flatquant.${missing[0]}`);
}

function schemeFrom(stored: StoredIntegerScheme | undefined, inFeatures: number): QuantizationScheme | null {
  if (!stored) return null;
  const { bits, symmetric, groupSize } = stored;
  const isChannel = groupSize === inFeatures;
  return { bits, symmetric, strategy: isChannel ? 'channel' : 'group', groupSize: isChannel ? null : groupSize };
}

/** Null for a layer that FlatQuant left alone. */
async function readTrainables(plan: LayerPlan, { config, dir }: TrainingStart, trained: Checkpoint): Promise<Trainables | null> {
  const transforms = transformShapes(plan);
  const clips = clipShapes(plan, config);
  if (transforms.length === 0 && clips.length === 0) return null;
  const read = async (name: string, length: number) => {
    const full = `${plan.prefix}.flatquant.${name}`;
    const values = trained.has(full) ? await trained.readFloats(full) : null;
    if (values?.length !== length) throw incomplete(dir, full);
    return values;
  };
  const raw: number[] = [];
  const diagonals = new Map<string, Float64Array>();
  for (const { name, kind, size } of transforms) {
    const values = await read(name, kind === 'matrix' ? size * size : size);
    raw.push(...values);
    if (kind === 'diagonal') diagonals.set(name.split('.')[0]!, Float64Array.from(values));
  }
  const logits: number[] = [];
  for (const { name, size } of clips) logits.push(...(await read(name, size)));
  const trainables = new Trainables(plan, config, { seed: 0, parameterisation: 'direct' }, diagonals);
  trainables.assign(Float32Array.from(raw), Float32Array.from(logits));
  return trainables;
}

function notesOf({ metadata }: TrainingStart): string[] {
  const isGptq = metadata.method === 'flatquant' && /"weights":\s*"gptq"/.test(metadata.options ?? '');
  return isGptq ? ['Weights that GPTQ rounded after FlatQuant are rounded to nearest while they are trained'] : [];
}

function foreignBase(dir: string, name: string): RoundoffError {
  return new RoundoffError(
    'bad-input',
    `${dir} has no ${name} of the shape of the model to train: FlatQuant’s transforms belong to the float weights they were learnt for.`,
    'Start from the unquantized model that the FlatQuant checkpoint was made from.',
  );
}

function incomplete(dir: string, name: string): RoundoffError {
  return new RoundoffError(
    'model-invalid',
    `${dir}, ${trainedFile}: ${name} is missing or of another size.`,
    'Quantize the model with FlatQuant again.',
  );
}
