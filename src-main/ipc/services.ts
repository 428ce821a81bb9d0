/**
 * Everything the main process offers, behind one validated entry: the two hosts and the command line are thin layers over this.
 */
import type { CommandName, CommandOutput } from '#contract/commands.ts';
import type { CommandResult } from '#contract/errors.ts';
import type { HostEvent } from '#contract/records.ts';

export interface ServicesOptions {
  host: 'electron' | 'browser' | 'cli';
  version: string;
  /** Holds `sample/` and `recipes/`. */
  resourcesDir: string;
  /** Script that plain Node runs for every run. */
  workerEntry: string;
  /** The plain Node that runs workers; `ROUNDOFF_NODE` or this process's own without it. */
  nodeFile?: string;
}

export interface Services {
  /** Validates name and input, runs the command and maps every failure; never rejects. */
  dispatch<K extends CommandName>(name: K, input: unknown): Promise<CommandResult<CommandOutput<K>>>;
  dispatch(name: string, input: unknown): Promise<CommandResult<unknown>>;
  onEvent(listener: (event: HostEvent) => void): () => void;
  /** Runs queued or running. */
  activeRuns(): number;
  /** Stops the running run at a checkpoint, then closes the project. */
  close(): Promise<void>;
}
