/**
 * One lane of the CPU decode engine: runs a step over its rows, a handful of native products with fused SIMD kernels between them, all in
 * place in the engine's memory. Prompt tokens and generating sequences are rows alike: keys and values of all rows are appended first, then
 * each row attends to its own slot up to its own position. Every part computes a row from that row alone, so results do not depend on company.
 */
import { onnxRuntime } from '../../backends/wasm/onnx-runtime.ts';
import type { CacheCopy, Span, StepLogits } from '../batch.ts';
import { type DecodeKernels, decodeKernels } from './kernels.ts';
import { cacheBlock, type DecodePlan, type InputPlan, type LanePlan } from './plan.ts';
import type { SharedMemory } from './shared-memory.ts';
import type { DecodeSessions } from './weights.ts';

/** Input and output tensors of one product at one number of rows. */
interface Product {
  inputs: BigUint64Array;
  outputs: BigUint64Array;
}

interface RowProducts {
  queryKeyValue: Product;
  output: Product;
  gateUp: Product;
  down: Product;
}

const maxCachedRowCounts = 512;

export class DecodeLane {
  readonly plan: LanePlan;
  /** The weights to compute with. */
  sessions: DecodeSessions;
  private readonly whole: DecodePlan;
  private readonly kernels: DecodeKernels;
  private readonly floats: Float32Array;
  private readonly tables: Record<'ids' | 'slots' | 'positions' | 'selected', Int32Array>;
  private readonly logits: Required<StepLogits>;
  private readonly address: bigint;
  private readonly runtime = onnxRuntime();
  private readonly inputNames = this.runtime.createNames(['x']);
  private readonly outputNames = this.runtime.createNames(['y']);
  private readonly rowProducts = new Map<number, RowProducts>();
  private readonly headProducts = new Map<number, Product>();

  constructor(plan: DecodePlan, lane: number, sessions: DecodeSessions, memory: SharedMemory) {
    this.whole = plan;
    this.plan = plan.lanes[lane]!;
    this.sessions = sessions;
    const table = (offset: number) => new Int32Array(memory.buffer, offset, plan.maxRows);
    const { ids, rowSlots, positions, selected, logits, peakTokens, peakShares, slots } = this.plan;
    this.tables = { ids: table(ids), slots: table(rowSlots), positions: table(positions), selected: table(selected) };
    this.logits = {
      values: new Float32Array(memory.buffer, logits, slots * plan.config.vocabSize),
      peaks: { tokens: new Int32Array(memory.buffer, peakTokens, slots), shares: new Float32Array(memory.buffer, peakShares, slots) },
    };
    this.floats = new Float32Array(memory.buffer);
    this.kernels = decodeKernels(memory);
    const probe = this.runtime.createTensor(new Uint8Array(memory.buffer), 4, [1]);
    this.address = this.runtime.dataAddress(probe);
    this.runtime.releaseTensor(probe);
  }

  /** Computes the spans; the first rows of the result belong to those that want logits, and are valid until the next call. */
  forward(spans: readonly Span[], temperature: number): StepLogits {
    const { rows, wanted } = this.writeRows(spans);
    const { config, embedding, layers } = this.whole;
    const { hiddenSize, rmsNormEps } = config;
    const { plan: lane, kernels, sessions } = this;
    const products = this.productsFor(rows);
    kernels.embedAndNormalize(embedding, lane.ids, lane.hidden, layers[0]!.inputNorm, lane.normed, rows, hiddenSize, rmsNormEps);
    for (let index = 0; index < layers.length; index++) {
      const layer = layers[index]!;
      const session = sessions.layers[index]!;
      this.prepare(lane.normed, layer.activations?.attentionInput, rows);
      this.run(session.queryKeyValue, products.queryKeyValue);
      this.attention(index, rows);
      this.prepare(lane.mixed, layer.activations?.attentionOutput, rows);
      this.run(session.output, products.output);
      kernels.addAndNormalize(lane.hidden, lane.projected, layer.postNorm, lane.normed, rows, hiddenSize, rmsNormEps);
      this.prepare(lane.normed, layer.activations?.mlpInput, rows);
      this.run(session.gateUp, products.gateUp);
      kernels.gatedUnits(lane.gateUp, lane.activated, rows, config.intermediateSize);
      this.prepare(lane.activated, layer.activations?.mlpOutput, rows);
      this.run(session.down, products.down);
      const next = layers[index + 1];
      if (next) kernels.addAndNormalize(lane.hidden, lane.projected, next.inputNorm, lane.normed, rows, hiddenSize, rmsNormEps);
    }
    this.head(wanted, temperature);
    return this.logits;
  }

  /** Copies keys and values between slots of this lane, in order. Keys lie in whole blocks of positions. */
  copyCache(copies: readonly CacheCopy[]): void {
    const { layers, capacity, config } = this.whole;
    const { kvHeads, headDim } = config;
    const headWords = capacity * headDim;
    const move = (base: number, from: number, to: number, words: number) => {
      const start = base / 4 + from * headWords;
      this.floats.copyWithin(base / 4 + to * headWords, start, start + words);
    };
    for (const { from, to, positions } of copies) {
      const keyWords = Math.ceil(positions / cacheBlock) * cacheBlock * headDim;
      for (const { keys, values } of layers) {
        for (let head = 0; head < kvHeads; head++) {
          move(keys, from * kvHeads + head, to * kvHeads + head, keyWords);
          move(values, from * kvHeads + head, to * kvHeads + head, positions * headDim);
        }
      }
    }
  }

  /** Frees the native tensors; the sessions belong to the engine. */
  dispose(): void {
    for (const products of this.rowProducts.values()) this.release(Object.values(products));
    this.release([...this.headProducts.values()]);
    this.rowProducts.clear();
    this.headProducts.clear();
  }

  /** Transforms and quantizes what a product reads, in place. */
  private prepare(input: number, plan: InputPlan | null | undefined, rows: number): void {
    if (!plan) return;
    this.kernels.prepareInput(input, plan.left, plan.right, plan.quantizer, this.plan.scratch, rows, plan.rows, plan.columns);
  }

  private attention(index: number, rows: number): void {
    const { plan: lane, whole } = this;
    const { heads, kvHeads, headDim, rmsNormEps } = whole.config;
    const { keys, values, queryNorm, keyNorm, activations } = whole.layers[index]!;
    const { queryTransform = 0, keyTransform = 0, keyQuantizer = 0, valueQuantizer = 0 } = activations ?? {};
    const scale = 1 / Math.sqrt(headDim);
    const { queryKeyValue: qkv, rowSlots, positions, scores, mixed, scratch } = lane;
    const { cos, sin, capacity } = whole;
    this.kernels.appendKeysAndValues(
      ...([qkv, rowSlots, positions, keys, values, queryNorm, keyNorm, cos, sin] as const),
      ...([queryTransform, keyTransform, keyQuantizer, valueQuantizer, scratch] as const),
      ...([rows, heads, kvHeads, headDim, capacity, rmsNormEps, scale] as const),
    );
    this.kernels.attend(qkv, rowSlots, positions, keys, values, scores, mixed, rows, heads, kvHeads, headDim, capacity);
  }

  /** Final norm and output head of the `count` selected rows, into `logits`. */
  private head(count: number, temperature: number): void {
    const { plan: lane, whole } = this;
    const { hiddenSize, rmsNormEps, vocabSize } = whole.config;
    const { hidden, projected, selected, final } = lane;
    if (count === 0) return;
    this.kernels.addAndNormalizeSelected(hidden, projected, selected, whole.finalNorm, final, count, hiddenSize, rmsNormEps);
    let product = this.headProducts.get(count);
    if (!product) {
      product = this.product(final, hiddenSize, lane.logits, vocabSize, count);
      this.headProducts.set(count, product);
    }
    this.run(this.sessions.head, product);
    this.kernels.findPeaks(lane.logits, count, vocabSize, 1 / (temperature || 1), lane.peakTokens, lane.peakShares);
  }

  /** Writes token, slot and position of every row, and which rows want logits. */
  private writeRows(spans: readonly Span[]): { rows: number; wanted: number } {
    const { ids, slots, positions, selected } = this.tables;
    let rows = 0;
    let wanted = 0;
    for (const span of spans) {
      for (let i = 0; i < span.ids.length; i++, rows++) {
        ids[rows] = span.ids[i]!;
        slots[rows] = span.slot;
        positions[rows] = span.position + i;
      }
      if (span.wantsLogits) selected[wanted++] = rows - 1;
    }
    return { rows, wanted };
  }

  private run(session: bigint, { inputs, outputs }: Product): void {
    this.runtime.run(session, this.inputNames, inputs, this.outputNames, outputs);
  }

  /** Tensors depend on the number of rows alone; the layers share their buffers. */
  private productsFor(rows: number): RowProducts {
    let products = this.rowProducts.get(rows);
    if (!products) {
      if (this.rowProducts.size >= maxCachedRowCounts) this.dispose();
      const { hiddenSize, intermediateSize, heads, kvHeads, headDim } = this.whole.config;
      const { normed, queryKeyValue, mixed, projected, gateUp, activated } = this.plan;
      products = {
        queryKeyValue: this.product(normed, hiddenSize, queryKeyValue, (heads + 2 * kvHeads) * headDim, rows),
        output: this.product(mixed, heads * headDim, projected, hiddenSize, rows),
        gateUp: this.product(normed, hiddenSize, gateUp, 2 * intermediateSize, rows),
        down: this.product(activated, intermediateSize, projected, hiddenSize, rows),
      };
      this.rowProducts.set(rows, products);
    }
    return products;
  }

  private product(from: number, inFeatures: number, to: number, outFeatures: number, rows: number): Product {
    const tensor = (offset: number, columns: number) =>
      this.runtime.createTensor(this.address + BigInt(offset), 4 * rows * columns, [rows, columns]);
    return { inputs: BigUint64Array.of(tensor(from, inFeatures)), outputs: BigUint64Array.of(tensor(to, outFeatures)) };
  }

  private release(products: Product[]): void {
    for (const { inputs, outputs } of products) for (const tensor of [...inputs, ...outputs]) this.runtime.releaseTensor(tensor);
  }
}
