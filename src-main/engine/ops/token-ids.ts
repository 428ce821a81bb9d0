/** Token ids that an op reads rows by: each has to lie in the vocabulary. */
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';

export function badId(id: number, place: number, vocab: number): RoundoffError {
  return new RoundoffError(
    'bad-input',
    `token id ${id} at place ${place} is outside the vocabulary of ${vocab}`,
    'Use the tokenizer of this model.',
  );
}

/** What we use of tfjs-backend-webgpu's backend object (4.22.0): values of a tensor that no kernel has read yet. */
interface PendingUploads {
  tensorMap: { get(dataId: object): { values?: ArrayLike<number> | null } };
}

/**
 * The check on the webgpu backend, which cannot wait for what lies on the GPU already: ids that have not been uploaded are looked at here, and
 * kernels answer those outside the vocabulary with NaN.
 * @throws RoundoffError `bad-input` for an id outside the vocabulary, `internal` for ids that are not int32
 */
export function checkPendingIds(ids: tf.TensorInfo, vocab: number): void {
  if (ids.dtype !== 'int32') throw new RoundoffError('internal', `token ids are ${ids.dtype}, not int32`, 'Create them with dtype int32.');
  const { values } = (tf.backend() as unknown as PendingUploads).tensorMap.get(ids.dataId);
  if (!values) return;
  for (let place = 0; place < values.length; place++) {
    const id = values[place]!;
    if (!(id >= 0 && id < vocab)) throw badId(id, place, vocab);
  }
}
