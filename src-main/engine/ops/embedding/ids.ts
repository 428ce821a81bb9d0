import type * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';

/** @throws RoundoffError `internal` when token ids are no whole numbers */
export function requireIntegerIds(ids: tf.TensorInfo): void {
  if (ids.dtype !== 'int32') throw new RoundoffError('internal', `token ids are ${ids.dtype}, not int32`, 'Create them with dtype int32.');
}
