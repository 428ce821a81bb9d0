/** Keeps the end of a process's output, enough to show what went wrong. */
const maxBytes = 8 * 1024;

export class OutputTail {
  private bytes = Buffer.alloc(0);

  push(chunk: Buffer): void {
    const joined = Buffer.concat([this.bytes, chunk]);
    this.bytes = joined.subarray(Math.max(0, joined.length - maxBytes));
  }

  text(): string {
    return this.bytes.toString('utf8').trim();
  }
}
