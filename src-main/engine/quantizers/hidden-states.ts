/**
 * Hidden states of calibration batches: on a GPU whose memory has room for them, and else outside the backend's memory, in ordinary arrays or
 * in a file of the working folder when asked. There a batch is on the backend only while it is computed with.
 */
import { type FileHandle, open, rm } from 'node:fs/promises';
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { floatsAt, pointerOf } from '../backends/wasm/memory.ts';
import { gpu } from '../backends/webgpu/device.ts';
import { writeError } from '../formats/atomic-file.ts';

/** Where the values of batches lie; every batch has `rows · width` floats. */
export type HiddenStore = OutsideStore | GpuStore;

interface GpuStore {
  readonly width: number;
  /** By batch; they belong to the store. */
  readonly tensors: tf.Tensor[];
  close(): Promise<void>;
}

interface OutsideStore {
  readonly width: number;
  readonly tensors: null;
  /** The values of a batch, as they are until the next call. */
  read(batch: number): Promise<Float32Array>;
  /** `count` values of a batch from number `first`; as they are until the next call. */
  readPart(batch: number, first: number, count: number): Promise<Float32Array>;
  /** Copies the values. Throws `disk-full` or `read-only`, naming the file. */
  write(batch: number, values: Float32Array): Promise<void>;
  /** Frees everything. */
  close(): Promise<void>;
}

/** [batch, seq] of one calibration batch. */
export type BatchShape = readonly [number, number];

/** Of the GPU's memory that is free when a store is made. */
const gpuShare = 0.25;

/** @param file keep values there instead of in memory */
export async function createStore(shapes: readonly BatchShape[], width: number, file: string | null): Promise<HiddenStore> {
  if (file !== null) return fileStore(shapes, width, file);
  const sizeBytes = 4 * width * shapes.reduce((sum, [batch, seq]) => sum + batch * seq, 0);
  if (tf.getBackend() !== 'webgpu') return memoryStore(width);
  const { budgetBytes, usedBytes } = gpu().memory;
  return fitsOnGpu(sizeBytes, budgetBytes, usedBytes) ? gpuStore(width) : memoryStore(width);
}

/** Whether values of so many bytes are kept in the GPU's memory. */
export function fitsOnGpu(sizeBytes: number, budgetBytes: number | null, usedBytes: number): boolean {
  return budgetBytes !== null && sizeBytes <= gpuShare * (budgetBytes - usedBytes);
}

function gpuStore(width: number): GpuStore {
  const tensors: tf.Tensor[] = [];
  return {
    width,
    tensors,
    close: async () => {
      tf.dispose(tensors.splice(0));
    },
  };
}

function memoryStore(width: number): OutsideStore {
  const batches: Float32Array[] = [];
  return {
    ...{ width, tensors: null },
    read: async (batch) => batches[batch]!,
    readPart: async (batch, first, count) => batches[batch]!.subarray(first, first + count),
    write: async (batch, values) => {
      batches[batch] ??= new Float32Array(values.length);
      batches[batch].set(values);
    },
    close: async () => {
      batches.length = 0;
    },
  };
}

async function fileStore(shapes: readonly BatchShape[], width: number, path: string): Promise<OutsideStore> {
  const sizes = shapes.map(([batch, seq]) => batch * seq * width);
  const offsets = sizes.map((_, index) => 4 * sizes.slice(0, index).reduce((sum, size) => sum + size, 0));
  const handle = await open(path, 'w+');
  const scratch = new Float32Array(Math.max(...sizes));
  const readPart = async (batch: number, first: number, count: number) => {
    // Other backends may look at the values later.
    const values = tf.getBackend() === 'wasm' ? scratch.subarray(0, count) : new Float32Array(count);
    await transfer(path, handle, 'read', bytesOf(values), offsets[batch]! + 4 * first);
    return values;
  };
  return {
    ...{ width, tensors: null },
    read: (batch) => readPart(batch, 0, sizes[batch]!),
    readPart,
    write: async (batch, values) => {
      // The backend's memory may be shared with its threads, which file operations do not take.
      scratch.set(values);
      try {
        await transfer(path, handle, 'write', bytesOf(scratch.subarray(0, values.length)), offsets[batch]!);
      } catch (error) {
        throw writeError(path, error);
      }
    },
    close: async () => {
      await handle.close();
      await rm(path, { force: true });
    },
  };
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

async function transfer(path: string, handle: FileHandle, way: 'read' | 'write', bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const length = bytes.length - done;
    const count =
      way === 'read'
        ? (await handle.read(bytes, done, length, offset + done)).bytesRead
        : (await handle.write(bytes, done, length, offset + done)).bytesWritten;
    if (count === 0)
      throw new RoundoffError(
        'not-found',
        `${path}, which holds hidden states of this run, lost its contents while it was in use.`,
        'Leave the folder alone while the run goes on, then resume it.',
      );
    done += count;
  }
}

/** A batch on the backend, of the shape given. The caller disposes it. */
export async function readTensor<R extends tf.Rank>(store: HiddenStore, batch: number, shape: tf.ShapeMap[R]): Promise<tf.Tensor<R>> {
  return store.tensors ? tf.reshape(store.tensors[batch]!, shape) : tf.tensor(await store.read(batch), shape);
}

/** The first `seq` rows after row `first` of each batch named, [rows, seq, width]. The caller disposes it. */
export async function gatherRows(store: HiddenStore, rows: readonly { batch: number; first: number }[], seq: number): Promise<tf.Tensor3D> {
  const { width, tensors } = store;
  if (tensors) {
    return tf.tidy(() => {
      const parts = rows.map(({ batch, first }) => tf.slice(tf.reshape(tensors[batch]!, [-1, width]), [first, 0], [seq, width]));
      return tf.reshape(tf.concat(parts), [rows.length, seq, width]) as tf.Tensor3D;
    });
  }
  const size = seq * width;
  const values = new Float32Array(rows.length * size);
  for (const [row, { batch, first }] of rows.entries()) values.set(await store.readPart(batch, first * width, size), row * size);
  return tf.tensor3d(values, [rows.length, seq, width]);
}

/** Takes a batch over: off the backend, unless the store is there. */
export async function writeTensor(store: HiddenStore, batch: number, tensor: tf.Tensor): Promise<void> {
  if (store.tensors) {
    store.tensors[batch]?.dispose();
    store.tensors[batch] = tf.keep(tensor);
    return;
  }
  try {
    await store.write(batch, tf.getBackend() === 'wasm' ? floatsAt(pointerOf(tensor), tensor.size) : await tensor.data<'float32'>());
  } finally {
    tensor.dispose();
  }
}

/** Copies a batch's values into the store. */
export async function writeValues(store: HiddenStore, batch: number, values: Float32Array): Promise<void> {
  if (store.tensors) await writeTensor(store, batch, tf.tensor1d(values.slice()));
  else await store.write(batch, values);
}
