/**
 * Which split a problem belongs to is a function of its canonical operands alone, so train, calibration and test share no
 * calculation however many problems are drawn, and however they are worded.
 */
export type Split = 'train' | 'calibration' | 'test';

/** Shares of the key space in percent: calibration, test; the rest is for training. */
const calibrationShare = 8;
const testShare = 12;

export function splitOf(key: string): Split {
  const bucket = hashKey(key) % 100;
  if (bucket < calibrationShare) return 'calibration';
  return bucket < calibrationShare + testShare ? 'test' : 'train';
}

/** FNV-1a over the UTF-16 code units with a final avalanche (murmur3's), so that neighbouring numbers do not share a bucket. */
function hashKey(key: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < key.length; index++) hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
