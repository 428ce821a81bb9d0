/** Keeps native code off stderr: Dawn and the Vulkan loader write notes there that say nothing to users, and offer no other place for them. */
import { closeSync, openSync } from 'node:fs';
import koffi from 'koffi';

/** The outcome of synchronous native work, during which the process's stderr leads nowhere. With `VK_LOADER_DEBUG` it is left alone. */
export function withoutStderr<T>(work: () => T): T {
  if (process.platform === 'win32' || process.env.VK_LOADER_DEBUG) return work();
  const { dup, dup2 } = descriptors();
  const stderr = dup(2);
  if (stderr < 0) return work();
  const nowhere = openSync('/dev/null', 'w');
  dup2(nowhere, 2);
  closeSync(nowhere);
  try {
    return work();
  } finally {
    dup2(stderr, 2);
    closeSync(stderr);
  }
}

function descriptors() {
  calls ??= openCalls();
  return calls;
}

let calls: ReturnType<typeof openCalls> | undefined;

function openCalls() {
  const libc = koffi.load(null);
  return {
    // Koffi unloads a library once its handle is collected.
    libc,
    dup: libc.func('int dup(int descriptor)') as (descriptor: number) => number,
    dup2: libc.func('int dup2(int from, int to)') as (from: number, to: number) => number,
  };
}
