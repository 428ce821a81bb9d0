/**
 * LoRA over a model that stays as it is, packed or dense: QLoRA (Dettmers et al. 2023) where the base is NF4. Only the low-rank matrices
 * learn. A saved model is the base with the adapter beside it, in PEFT's layout.
 */
import { basename } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import type { TrainStage, TrainsOf } from '#contract/training.ts';
import { RandomStream } from '../../data/random-stream.ts';
import { type AdapterMatrices, type AdapterSettings, adapterBytes, adapterNames } from '../../formats/adapter.ts';
import { storedLinearBytes } from '../../formats/stored-linear.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import { frozenStorage, loadModel } from '../../model/load.ts';
import { LoraLinear, type LowRankUpdate } from '../../model/lora-linear.ts';
import { decoderLinears, linearShape } from '../../model/parameters.ts';
import { recomputingForward } from '../recompute.ts';
import { saveAdaptedModel } from '../save-adapted-model.ts';
import type { TrainingStart } from '../start.ts';
import type { ForwardPass, SavedModel, SaveOptions, TrainableParameter, Trainee } from '../trainee.ts';

export interface LoraTraineeOptions {
  settings: AdapterSettings;
  seed: number;
  activationCheckpointing: boolean;
  /** The model the base is copied from when it is saved. */
  sourceDir: string;
  notes: readonly string[];
}

export class LoraTrainee implements Trainee {
  readonly notes: readonly string[];
  readonly parameters: readonly TrainableParameter[];
  private readonly model: LanguageModel;
  private readonly options: LoraTraineeOptions;
  private readonly updates = new Map<string, { a: tf.Variable; b: tf.Variable }>();
  /** Of the forward pass at work. */
  private dropoutSeed: number | null = null;

  /** Takes over the model; linears that have an update already go on from it, others get one that changes nothing yet. */
  constructor(model: LanguageModel, options: LoraTraineeOptions) {
    this.model = model;
    this.options = options;
    this.notes = options.notes;
    for (const module of options.settings.modules) this.addUpdate(module);
    this.parameters = [...this.updates].flatMap(([module, { a, b }]) => {
      const names = adapterNames(module);
      return [parameter(names.a, a), parameter(names.b, b)];
    });
  }

  get config() {
    return this.model.config;
  }

  async beginStep(): Promise<void> {}

  leaves(): readonly tf.Tensor[] {
    return this.parameters.map(({ variable }) => variable);
  }

  async parameterGradients(leafGradients: tf.Tensor[]): Promise<tf.Tensor[]> {
    return leafGradients;
  }

  forward(ids: tf.Tensor2D, { dropoutSeed, lengths }: ForwardPass): tf.Tensor3D {
    if (!this.options.activationCheckpointing) return this.withDropout(dropoutSeed, () => this.model.forward(ids, { lengths }));
    const leaves = [...this.updates].flatMap(([module, { a, b }]) => [a, b].map((tensor) => ({ name: `${module}.`, tensor })));
    return recomputingForward(this.model, ids, leaves, (index, hidden) =>
      this.withDropout(dropoutSeed, () => this.model.layer(index, hidden, { lengths })),
    );
  }

  headWeight(): tf.Tensor2D {
    return this.model.headWeight();
  }

  async generationModel() {
    return { model: this.model, release: () => {} };
  }

  async save(dir: string, options: SaveOptions): Promise<SavedModel> {
    const matrices = new Map<string, AdapterMatrices>();
    for (const [module, { a, b }] of this.updates)
      matrices.set(module, { a: Float32Array.from(await a.data<'float32'>()), b: Float32Array.from(await b.data<'float32'>()) });
    const { settings, sourceDir } = this.options;
    const checkpoint = await saveAdaptedModel(dir, { sourceDir, config: this.config, settings, matrices }, options);
    return { checkpoint, ...(await this.sizes()) };
  }

  dispose(): void {
    this.model.dispose();
  }

  /** The adapter counts with the quantized linears. */
  private async sizes(): Promise<Pick<SavedModel, 'quantizedBytes' | 'bitsPerWeight'>> {
    let bytes = 0;
    let weights = 0;
    for (const module of decoderLinears(this.config)) {
      const op = this.model.linear(module);
      const stored = await (op instanceof LoraLinear ? op.base : op).stored();
      if (!stored) continue;
      bytes += storedLinearBytes(stored);
      weights += stored.codes.length;
    }
    if (weights === 0) return { quantizedBytes: null, bitsPerWeight: null };
    const quantizedBytes = bytes + adapterBytes(this.config, this.options.settings);
    return { quantizedBytes, bitsPerWeight: (8 * quantizedBytes) / weights };
  }

  private withDropout<T>(seed: number | null, compute: () => T): T {
    this.dropoutSeed = seed;
    try {
      return compute();
    } finally {
      this.dropoutSeed = null;
    }
  }

  private addUpdate(module: string): void {
    const { rank, alpha, dropout: rate } = this.options.settings;
    this.model.wrapLinear(module, (op) => {
      const start = op instanceof LoraLinear ? op.update : this.initialUpdate(module);
      const [a, b] = [variableOf(start.a), variableOf(start.b)];
      this.updates.set(module, { a, b });
      const dropout = () => {
        const seed = this.dropoutSeed;
        return seed === null ? { rate: 0, seed: 0 } : { rate, seed: patternSeed(seed, module) };
      };
      const update = { a: a as unknown as tf.Tensor2D, b: b as unknown as tf.Tensor2D, scale: alpha / rank };
      return new LoraLinear(op instanceof LoraLinear ? op.base : op, update, dropout);
    });
  }

  /** A uniform in ±1/√in, B zero, as PEFT starts. */
  private initialUpdate(module: string): Pick<LowRankUpdate, 'a' | 'b'> {
    const { settings, seed } = this.options;
    const [outFeatures, inFeatures] = linearShape(this.config, module);
    const stream = new RandomStream(seed, 'lora', module);
    const bound = 1 / Math.sqrt(inFeatures);
    const a = Float32Array.from({ length: settings.rank * inFeatures }, () => bound * (2 * stream.uniform() - 1));
    return { a: tf.tensor2d(a, [settings.rank, inFeatures]), b: tf.zeros([outFeatures, settings.rank]) };
  }
}

export interface LoraSource {
  start: TrainingStart;
  stage: TrainStage & { trains: TrainsOf<'lora'> };
  seed: number;
  signal?: AbortSignal;
}

/** Throws `bad-input` when the model already has another adapter, then what loading throws. */
export async function createLoraTrainee({ start, stage, seed, signal }: LoraSource): Promise<LoraTrainee> {
  const settings = settingsOf(start, stage.trains);
  if (start.adapter) refuseOtherAdapter(start, settings);
  const notes = [
    ...(start.schemes.size === 0 ? ['The base is not quantized: this is plain LoRA'] : []),
    ...(start.adapter ? ['Training goes on from the adapter in the model folder'] : []),
  ];
  const model = await loadModel(start.dir, { storage: frozenStorage(), ...(signal ? { signal } : {}) });
  const { activationCheckpointing } = stage;
  return new LoraTrainee(model, { settings, seed, activationCheckpointing, sourceDir: start.dir, notes });
}

function settingsOf({ config }: TrainingStart, { rank, alpha, dropout, modules }: TrainsOf<'lora'>): AdapterSettings {
  const chosen = decoderLinears(config).filter((module) => modules.some((name) => module.endsWith(`.${name}`)));
  return { rank, alpha, dropout, modules: chosen };
}

function refuseOtherAdapter({ dir, adapter }: TrainingStart, { rank, alpha, modules }: AdapterSettings): void {
  const known = adapter!;
  if (known.rank === rank && known.alpha === alpha && known.modules.join() === modules.join()) return;
  throw new RoundoffError(
    'bad-input',
    `${basename(dir)} already has an adapter of rank ${known.rank} and alpha ${known.alpha} on ${known.modules.length} linears, and the stage asks for rank ${rank}, alpha ${alpha} on ${modules.length}.`,
    'Give the stage the rank, alpha and modules of the adapter to train it further, or export the model as "dequantized", which merges it.',
  );
}

/** Both matrices decay, as with PEFT. */
function parameter(name: string, variable: tf.Variable): TrainableParameter {
  return { name, variable, decays: true, rate: 'weights' };
}

function variableOf(tensor: tf.Tensor): tf.Variable {
  const variable = tf.variable(tensor);
  tensor.dispose();
  return variable;
}

/** Each module drops elements of its own. */
function patternSeed(seed: number, module: string): number {
  return Math.floor(2 ** 32 * new RandomStream(seed, 'dropout', module).uniform());
}
