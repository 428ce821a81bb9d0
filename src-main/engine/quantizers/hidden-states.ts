/**
 * Hidden states of calibration batches, outside the backend's memory: in ordinary arrays, or in a file of the working folder when asked.
 * A batch is on the backend only while it is computed with.
 */
import { type FileHandle, open, rm } from 'node:fs/promises';
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { floatsAt, pointerOf } from '../backends/wasm/memory.ts';
import { writeError } from '../formats/atomic-file.ts';

/** Where the values of batches lie; every batch has `rows · width` floats. */
export interface HiddenStore {
  readonly width: number;
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

/** @param file keep values there instead of in memory */
export async function createStore(shapes: readonly BatchShape[], width: number, file: string | null): Promise<HiddenStore> {
  return file === null ? memoryStore(width) : fileStore(shapes, width, file);
}

function memoryStore(width: number): HiddenStore {
  const batches: Float32Array[] = [];
  return {
    width,
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

async function fileStore(shapes: readonly BatchShape[], width: number, path: string): Promise<HiddenStore> {
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
    width,
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

/** A batch on the backend. The caller disposes it. */
export async function readTensor(store: HiddenStore, batch: number, [size, seq]: BatchShape): Promise<tf.Tensor3D> {
  return tf.tensor3d(await store.read(batch), [size, seq, store.width]);
}

/** Takes a batch off the backend; the tensor is disposed. */
export async function writeTensor(store: HiddenStore, batch: number, tensor: tf.Tensor): Promise<void> {
  try {
    await store.write(batch, tf.getBackend() === 'wasm' ? floatsAt(pointerOf(tensor), tensor.size) : await tensor.data<'float32'>());
  } finally {
    tensor.dispose();
  }
}
