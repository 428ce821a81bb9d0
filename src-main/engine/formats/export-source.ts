/**
 * The model an export is made from: a `roundoff` checkpoint, a plain model folder, or a checkpoint another tool quantized, each with the LoRA
 * adapter that lies in its folder. Linears and
 * dense parameters are read one at a time, when an exporter asks, so that no more than the one at hand is in memory.
 */
import { join } from 'node:path';
import { type JsonObject, readJsonObject } from '../data/json-file.ts';
import { configFile, type ModelConfig, readModelConfig } from '../model/config.ts';
import type { LayerActivations } from '../model/layer-activations.ts';
import { checkTensors, readStoredLayout, type StoredLayout, storedShapes } from '../model/load.ts';
import { linearShape, parameterShapes } from '../model/parameters.ts';
import { readActivations } from './activation-layout.ts';
import { type AdapterSettings, mergeAdapter, openAdapter, readAdapterMatrices, readAdapterSettings } from './adapter.ts';
import { ProblemList } from './problems.ts';
import { readStoredLinear, type StoredIntegerScheme, type StoredNf4Scheme } from './quantized-layout.ts';
import { type Checkpoint, openCheckpoint, type TensorDtype } from './safetensors.ts';
import { dequantizeStored, type StoredLinear } from './stored-linear.ts';

export class ExportSource {
  readonly dir: string;
  readonly config: ModelConfig;
  /** The contents of config.json, without a `quantization_config`. */
  readonly json: JsonObject;
  readonly layout: StoredLayout;
  /** The adapter beside the weights; null when there is none. */
  readonly adapter: AdapterSettings | null;
  private readonly checkpoint: Checkpoint;
  private readonly adapterWeights: Checkpoint | null;
  /** Exporters write several tensors of a module after each other. */
  private last: { module: string; linear: StoredLinear } | null = null;

  private constructor(
    config: ModelConfig,
    json: JsonObject,
    layout: StoredLayout,
    checkpoint: Checkpoint,
    adapter: { settings: AdapterSettings; weights: Checkpoint } | null,
  ) {
    this.adapter = adapter?.settings ?? null;
    this.adapterWeights = adapter?.weights ?? null;
    this.dir = checkpoint.dir;
    this.config = config;
    this.json = json;
    this.layout = layout;
    this.checkpoint = checkpoint;
  }

  /** Opens the model in `dir`; close it when done. Throws one error that lists every tensor that is missing or of the wrong shape. */
  static async open(dir: string): Promise<ExportSource> {
    const config = await readModelConfig(dir);
    const { quantization_config: _, ...json } = await readJsonObject(join(dir, configFile), { code: 'model-invalid' });
    const checkpoint = await openCheckpoint(dir);
    let weights: Checkpoint | null = null;
    try {
      const problems = new ProblemList();
      const layout = await readStoredLayout(checkpoint, config, problems);
      checkTensors(checkpoint, storedShapes(config, layout), problems);
      const settings = await readAdapterSettings(dir, config, problems);
      if (settings) weights = await openAdapter(dir, config, settings, problems);
      problems.throwErrors(dir);
      return new ExportSource(config, json, layout, checkpoint, settings && weights ? { settings, weights } : null);
    } catch (error) {
      await weights?.close();
      await checkpoint.close();
      throw error;
    }
  }

  /** The quantized modules, in execution order. */
  get modules(): string[] {
    return [...this.layout.schemes.keys()];
  }

  /** Which form a quantized module has; a group size of −1 is one scale per row. */
  form(module: string): StoredIntegerScheme | StoredNf4Scheme {
    const scheme = this.layout.schemes.get(module)!;
    return scheme.coding === 'foreign' ? scheme.form : scheme;
  }

  /** Notes in the header of the weights file. */
  get metadata(): Readonly<Record<string, string>> {
    return this.checkpoint.metadata;
  }

  /** Names and shapes of the parameters that are not stored as codes, in execution order. */
  denseParameters(): Map<string, number[]> {
    return new Map([...parameterShapes(this.config)].filter(([name]) => !this.isQuantized(name)));
  }

  /** Whether this parameter is a weight that is stored as codes. */
  isQuantized(name: string): boolean {
    return name.endsWith('.weight') && this.layout.schemes.has(name.slice(0, -'.weight'.length));
  }

  /** Whether this parameter is a weight that the adapter changes. */
  isAdapted(name: string): boolean {
    return name.endsWith('.weight') && (this.adapter?.modules.includes(name.slice(0, -'.weight'.length)) ?? false);
  }

  /** Whether activations of layer `index` are transformed or quantized. */
  hasActivations(index: number): boolean {
    return (this.layout.activations[index] ?? null) !== null;
  }

  /** [out, in] of a decoder linear. */
  shape(module: string): [number, number] {
    return linearShape(this.config, module);
  }

  /** The stored form of a quantized module. Throws `model-invalid` for values that make no sense. */
  async readStored(module: string): Promise<StoredLinear> {
    if (this.last?.module === module) return this.last.linear;
    const problems = new ProblemList();
    const linear = await readStoredLinear(this.checkpoint, module, this.shape(module), this.layout.schemes.get(module)!, problems);
    problems.throwErrors(this.dir);
    this.last = { module, linear: linear! };
    return linear!;
  }

  /** The type a dense parameter is stored in. */
  dtype(name: string): TensorDtype {
    return this.checkpoint.entry(name).dtype;
  }

  /** A dense parameter's bytes, as stored. */
  readBytes(name: string): Promise<Uint8Array> {
    return this.checkpoint.readBytes(name);
  }

  /** The float values of any parameter of the dense model: dequantized where it is stored as codes, an adapter merged in. */
  async readFloats(name: string): Promise<Float32Array> {
    const module = name.slice(0, -'.weight'.length);
    const values = this.isQuantized(name) ? dequantizeStored(await this.readStored(module)) : await this.checkpoint.readFloats(name);
    return this.isAdapted(name) ? mergeAdapter(values, await readAdapterMatrices(this.adapterWeights!, module), this.adapter!) : values;
  }

  /** What is done to the activations of layer `index`. */
  async readActivations(index: number): Promise<LayerActivations | null> {
    const stored = this.layout.activations[index] ?? null;
    return stored && (await readActivations(this.checkpoint, index, stored));
  }

  async close(): Promise<void> {
    this.last = null;
    await this.adapterWeights?.close();
    await this.checkpoint.close();
  }
}
