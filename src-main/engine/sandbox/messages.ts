/** What parent and sandboxed process say to each other: one JSON message a line, requests on standard input, replies on standard output. */

/** `answer` runs a program against tests, `snapshot` writes the memory of a started interpreter, `probe` tries to get out. */
export type ChildMode = 'answer' | 'snapshot' | 'probe';

export interface ChildSettings {
  mode: ChildMode;
  pyodideDir: string;
  /** Of a started interpreter; null when one is to be made. */
  snapshotFile: string | null;
  /** Python's whole memory. */
  memoryBytes: number;
  /** What a program may print, or return as JSON, in one test. */
  outputBytes: number;
  /** Of `probe`: what must stay closed. */
  probe: ProbeTargets | null;
}

export interface ProbeTargets {
  readFile: string;
  writeFile: string;
  port: number;
}

export type ChildRequest = { type: 'load'; code: string; functionName: string | null } | { type: 'run'; input: string };

export type ChildReply =
  | { type: 'ready' }
  /** `error` says why the program cannot be run at all (syntax, or what its body raised when functions are called). */
  | { type: 'loaded'; error: string | null }
  | ({ type: 'ran' } & ChildRun)
  /** Attempts of the probe that got out. */
  | { type: 'probed'; open: string[] };

export interface ChildRun {
  /** `raised`: ended by an exception. `flooded`: printed or returned more than it may. `fatal`: the interpreter itself ended. */
  outcome: 'returned' | 'raised' | 'flooded' | 'fatal';
  /** What was printed. */
  output: string;
  /** The result of a function as JSON; null for programs. */
  value: string | null;
  error: string | null;
}
