/** What both hosts need of the main process's services: one validated entry for commands, one stream of events, an orderly end. */
import type { CommandResult } from '#contract/errors.ts';
import type { HostEvent } from '#contract/records.ts';

export interface HostServices {
  /** Validates name and input; never rejects. */
  dispatch(name: string, input: unknown): Promise<CommandResult<unknown>>;
  onEvent(listener: (event: HostEvent) => void): () => void;
  /** Runs queued or running; closing asks first when there are any. */
  activeRuns(): number;
  /** Stops the running run at a checkpoint, then closes the project. */
  close(): Promise<void>;
}
