/**
 * What is trained: a model with the values that learn, and how it computes while they do. Objectives and the loop see nothing else, so that
 * plain weights, fake-quantized weights, LoRA and FlatQuant's transforms train, sample and are saved alike.
 */
import type * as tf from '@tensorflow/tfjs-core';
import type { SavedCheckpoint } from '../formats/quantized-checkpoint.ts';
import type { ModelConfig } from '../model/config.ts';
import type { LanguageModel } from '../model/language-model.ts';

/** Parameters that share a learning rate. */
export type RateGroup = 'weights' | 'transforms' | 'clips';

export interface TrainableParameter {
  name: string;
  /** Updated in place by the optimizer. */
  variable: tf.Variable;
  /** Whether weight decay applies: to matrices, not to norms, biases and embeddings. */
  decays: boolean;
  rate: RateGroup;
}

export interface ForwardPass {
  /** Seed of this micro-batch's dropout; null computes without dropout. */
  dropoutSeed: number | null;
  /** Of sequences that lie one after the other in a single row; without them each row is one sequence. */
  lengths?: readonly number[] | undefined;
}

export interface Trainee {
  readonly config: ModelConfig;
  /** In a fixed order. */
  readonly parameters: readonly TrainableParameter[];
  /** What deserves to be recorded of how this start was made. */
  readonly notes: readonly string[];
  /** Called before each step, from 0, and before generation: derives from the parameters what `forward` computes with. */
  beginStep(step: number): Promise<void>;
  /** Tensors the gradient is taken of: the variables themselves, or what `beginStep` derived from them. */
  leaves(): readonly tf.Tensor[];
  /** Gradients in the order of `parameters` from those of `leaves()`, which it takes over. */
  parameterGradients(leafGradients: tf.Tensor[]): Promise<tf.Tensor[]>;
  /** Final hidden states [batch, seq, hidden] of ids [batch, seq] (int32); differentiable in `leaves()`. */
  forward(ids: tf.Tensor2D, pass: ForwardPass): tf.Tensor3D;
  /** [vocab, hidden]; owned by the trainee. */
  headWeight(): tf.Tensor2D;
  /** A model that computes what `forward` computes now, to generate with; `release` it before the next step. */
  generationModel(): Promise<{ model: LanguageModel; release(): void }>;
  /** Writes what was learnt as a model folder that loads by itself, whole or not at all. */
  save(dir: string, options: SaveOptions): Promise<SavedModel>;
  dispose(): void;
}

export interface SaveOptions {
  metadata: Record<string, string>;
  replace: boolean;
  signal?: AbortSignal;
}

export interface SavedModel {
  checkpoint: SavedCheckpoint;
  /** Of the quantized linears, and over them; null for a float model. */
  quantizedBytes: number | null;
  bitsPerWeight: number | null;
}
