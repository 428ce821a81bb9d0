/** The decode kernels, instantiated over a decode engine's memory. */
import { kernelBinaryBase64 } from './kernels-binary.ts';
import { compileModule, instantiate, type SharedMemory } from './shared-memory.ts';

/** Arguments are byte offsets and sizes; see kernels/*.ts. */
export interface DecodeKernels {
  embedAndNormalize(table: number, ids: number, x: number, weight: number, y: number, rows: number, size: number, epsilon: number): void;
  addAndNormalize(x: number, delta: number, weight: number, y: number, rows: number, size: number, epsilon: number): void;
  addAndNormalizeSelected(
    x: number,
    delta: number,
    selected: number,
    weight: number,
    y: number,
    count: number,
    size: number,
    epsilon: number,
  ): void;
  findPeaks(logits: number, rows: number, vocab: number, inverseTemperature: number, tokens: number, shares: number): void;
  gatedUnits(gateUp: number, y: number, rows: number, size: number): void;
  appendKeysAndValues(
    qkv: number,
    slots: number,
    positions: number,
    keys: number,
    values: number,
    queryNorm: number,
    keyNorm: number,
    cos: number,
    sin: number,
    queryTransform: number,
    keyTransform: number,
    keyQuantizer: number,
    valueQuantizer: number,
    scratch: number,
    rows: number,
    heads: number,
    kvHeads: number,
    headDim: number,
    capacity: number,
    epsilon: number,
    scale: number,
  ): void;
  prepareInput(x: number, left: number, right: number, quantizer: number, scratch: number, rows: number, n1: number, n2: number): void;
  attend(
    qkv: number,
    slots: number,
    positions: number,
    keys: number,
    values: number,
    scores: number,
    out: number,
    rows: number,
    heads: number,
    kvHeads: number,
    headDim: number,
    capacity: number,
  ): void;
}

let compiled: object | undefined;

export function decodeKernels(memory: SharedMemory): DecodeKernels {
  compiled ??= compileModule(Buffer.from(kernelBinaryBase64, 'base64'));
  return instantiate<DecodeKernels>(compiled, memory);
}
