/** Where the command line writes: results to stdout; progress to stderr, one line that is updated on a terminal, sparse lines elsewhere. */
import type { Writable } from 'node:stream';

export interface Terminal {
  stdout: Writable;
  stderr: Writable & { isTTY?: boolean; columns?: number };
}

/** Between two lines where the line cannot be updated in place. */
const sparseMs = 5_000;

export class ProgressLine {
  private readonly stream: Terminal['stderr'];
  private readonly now: () => number;
  private lastWritten = Number.NEGATIVE_INFINITY;
  private lastPhase: string | null = null;
  private shown = false;

  constructor(stream: Terminal['stderr'], now: () => number = Date.now) {
    this.stream = stream;
    this.now = now;
  }

  /** `phase` names what is being done; a new phase is always written. */
  update(phase: string, details = ''): void {
    const text = details === '' ? phase : `${phase}: ${details}`;
    if (this.stream.isTTY) {
      this.stream.write(`\r\u001b[2K${text.slice(0, (this.stream.columns ?? 80) - 1)}`);
      this.shown = true;
      return;
    }
    if (phase === this.lastPhase && this.now() - this.lastWritten < sparseMs) return;
    this.lastPhase = phase;
    this.lastWritten = this.now();
    this.stream.write(`${text}\n`);
  }

  /** A line that stays. */
  note(text: string): void {
    this.clear();
    this.stream.write(`${text}\n`);
  }

  clear(): void {
    if (this.shown) this.stream.write('\r\u001b[2K');
    this.shown = false;
  }
}

/** Columns padded to their widest cell; numbers (`right`) aligned right. */
export function textTable(header: readonly string[], rows: readonly (readonly string[])[], right: ReadonlySet<number>): string {
  const lines = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  return lines
    .map((line) =>
      widths
        .map((width, column) => (right.has(column) ? (line[column] ?? '').padStart(width) : (line[column] ?? '').padEnd(width)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
