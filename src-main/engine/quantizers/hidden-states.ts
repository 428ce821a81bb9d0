/**
 * Hidden states of calibration batches, outside the backend's memory: in ordinary arrays, or in a file of the working folder when asked.
 * A batch is on the backend only while it is computed with.
 */
import { type FileHandle, open, rm } from 'node:fs/promises';
import * as tf from '@tensorflow/tfjs-core';

/** Where the values of batches lie; every batch has `rows · width` floats. */
export interface HiddenStore {
  readonly width: number;
  read(batch: number): Promise<Float32Array>;
  write(batch: number, values: Float32Array): Promise<void>;
  /** Frees everything. */
  close(): Promise<void>;
}

/** [batch, seq] of one calibration batch. */
export type BatchShape = readonly [number, number];

/** @param file keep values there instead of in memory */
export async function createStore(shapes: readonly BatchShape[], width: number, file: string | null): Promise<HiddenStore> {
  return file === null ? memoryStore(width) : fileStore(shapes, width, file);
}

function memoryStore(width: number): HiddenStore {
  const batches: Float32Array[] = [];
  return {
    width,
    read: async (batch) => batches[batch]!,
    write: async (batch, values) => {
      batches[batch] = values;
    },
    close: async () => {
      batches.length = 0;
    },
  };
}

async function fileStore(shapes: readonly BatchShape[], width: number, path: string): Promise<HiddenStore> {
  const sizes = shapes.map(([batch, seq]) => 4 * batch * seq * width);
  const offsets = sizes.map((_, index) => sizes.slice(0, index).reduce((sum, size) => sum + size, 0));
  const handle = await open(path, 'w+');
  return {
    width,
    read: async (batch) => {
      const bytes = new Uint8Array(sizes[batch]!);
      await transfer(bytes, (at) => handle.read(bytes, at, bytes.length - at, offsets[batch]! + at).then(({ bytesRead }) => bytesRead));
      return new Float32Array(bytes.buffer);
    },
    write: (batch, values) => writeAll(handle, new Uint8Array(values.buffer, values.byteOffset, values.byteLength), offsets[batch]!),
    close: async () => {
      await handle.close();
      await rm(path, { force: true });
    },
  };
}

function writeAll(handle: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  return transfer(bytes, (at) => handle.write(bytes, at, bytes.length - at, offset + at).then(({ bytesWritten }) => bytesWritten));
}

async function transfer(bytes: Uint8Array, step: (at: number) => Promise<number>): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const count = await step(done);
    if (count === 0) throw new Error('the file of hidden states ended early');
    done += count;
  }
}

/** A batch on the backend. The caller disposes it. */
export async function readTensor(store: HiddenStore, batch: number, [size, seq]: BatchShape): Promise<tf.Tensor3D> {
  return tf.tensor3d(await store.read(batch), [size, seq, store.width]);
}

/** Takes a batch off the backend; the tensor is disposed. */
export async function writeTensor(store: HiddenStore, batch: number, tensor: tf.Tensor): Promise<void> {
  const values = (await tensor.data<'float32'>()).slice();
  tensor.dispose();
  await store.write(batch, values);
}
