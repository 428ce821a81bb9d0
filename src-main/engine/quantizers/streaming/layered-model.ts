/**
 * A model of which only the layer at work is in memory: parameters are read from the checkpoint when asked for and released again.
 */
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { hasAdapter } from '../../formats/adapter.ts';
import { ProblemList } from '../../formats/problems.ts';
import { type Checkpoint, openCheckpoint } from '../../formats/safetensors.ts';
import { readModelConfig } from '../../model/config.ts';
import { LanguageModel } from '../../model/language-model.ts';
import { checkTensors, firstNonFinite, readStoredLayout, reportNonFinite, storedShapes } from '../../model/load.ts';
import { embeddingName, finalNormName, headName, parameterShapes } from '../../model/parameters.ts';

export class LayeredModel {
  readonly model: LanguageModel;
  private readonly checkpoint: Checkpoint;
  private readonly shapes: Map<string, number[]>;

  private constructor(model: LanguageModel, checkpoint: Checkpoint) {
    this.model = model;
    this.checkpoint = checkpoint;
    this.shapes = parameterShapes(model.config);
  }

  /** Opens a dense checkpoint. Throws one error that lists every tensor that is missing or of another shape; `bad-input` for a quantized one. */
  static async open(dir: string): Promise<LayeredModel> {
    const config = await readModelConfig(dir);
    const checkpoint = await openCheckpoint(dir);
    try {
      const problems = new ProblemList();
      const { schemes } = await readStoredLayout(checkpoint, config, problems);
      if (schemes.size > 0)
        throw new RoundoffError('bad-input', `The model in ${dir} is already quantized.`, 'Quantize the original model.');
      if (await hasAdapter(dir))
        throw new RoundoffError(
          'bad-input',
          `The model in ${dir} has a LoRA adapter beside its weights.`,
          'Merge it first by exporting the model as "dequantized", then quantize the export.',
        );
      checkTensors(checkpoint, storedShapes(config, { schemes: new Map(), activations: [] }), problems);
      problems.throwErrors(dir);
      return new LayeredModel(new LanguageModel(config, new Map()), checkpoint);
    } catch (error) {
      await checkpoint.close();
      throw error;
    }
  }

  loadLayer(index: number): Promise<void> {
    return this.load([...this.shapes.keys()].filter((name) => name.startsWith(`model.layers.${index}.`)));
  }

  releaseLayer(index: number): void {
    this.model.releaseLayer(index);
  }

  /** Embeddings, final norm, and the head where it has weights of its own. */
  loadGlobals(): Promise<void> {
    return this.load([embeddingName, finalNormName, headName].filter((name) => this.shapes.has(name)));
  }

  releaseGlobals(): void {
    for (const name of [embeddingName, finalNormName, headName]) this.model.releaseParameter(name);
  }

  /** Embeddings [tokens, hidden] of token ids, one sample after the other; only the rows that occur are read. */
  async embed(samples: readonly Int32Array[]): Promise<Float32Array> {
    const size = this.model.config.hiddenSize;
    const ids = samples.flatMap((sample) => [...sample]);
    const embedded = new Float32Array(ids.length * size);
    const rows = new Map<number, Float32Array>();
    for (const [position, id] of ids.entries()) {
      const row = rows.get(id) ?? (await this.checkpoint.readRow(embeddingName, id));
      rows.set(id, row);
      embedded.set(row, position * size);
    }
    return embedded;
  }

  async close(): Promise<void> {
    this.model.dispose();
    await this.checkpoint.close();
  }

  private async load(names: readonly string[]): Promise<void> {
    const problems = new ProblemList();
    for (const name of names) {
      const values = await this.checkpoint.readFloats(name);
      const bad = firstNonFinite(values);
      if (bad >= 0) reportNonFinite(name, this.shapes.get(name)!, bad, values[bad]!, problems);
      this.model.releaseParameter(name);
      this.model.parameters.set(name, tf.keep(tf.tensor(values, this.shapes.get(name))));
    }
    problems.throwErrors(this.checkpoint.dir);
  }
}
