/**
 * Requests of a running generation that nobody wants any more. In shared memory, so that decode threads see at their next step what the
 * calling thread has given up: such a request is not begun, and where it has been, its slot is freed.
 */
export class DropList {
  /** One per request, in their order; 1 once it is given up. */
  readonly words: Int32Array;

  constructor(requests: number) {
    this.words = new Int32Array(new SharedArrayBuffer(requests * Int32Array.BYTES_PER_ELEMENT));
  }

  drop(index: number): void {
    Atomics.store(this.words, index, 1);
  }
}

/** Whether a request was given up; `words` are those of a drop list, or null where nothing can be. */
export function isDropped(words: Int32Array | null, index: number): boolean {
  return words !== null && Atomics.load(words, index) === 1;
}
