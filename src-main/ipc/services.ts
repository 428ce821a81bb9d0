/**
 * Everything the main process offers, behind one validated entry: the two hosts and the command line are thin layers over this.
 */
import { type CommandName, type CommandOutput, commandInputs } from '#contract/commands.ts';
import { type CommandResult, RoundoffError, toErrorInfo } from '#contract/errors.ts';
import type { HostEvent } from '#contract/records.ts';
import { sqliteError } from '../project/connection.ts';
import type { SupervisorTimeouts } from '../runs/supervisor.ts';
import { RuntimeService } from '../runtime/index.ts';
import { createHandlers } from './handlers.ts';
import { ProjectSession } from './project-session.ts';

export interface ServicesOptions {
  host: 'electron' | 'browser' | 'cli';
  version: string;
  /** Holds `sample/` and `recipes/`. */
  resourcesDir: string;
  /** Script that plain Node runs for every run. */
  workerEntry: string;
  /** The plain Node that runs workers; `ROUNDOFF_NODE` or this process's own without it. */
  nodeFile?: string;
  /** Where the list of recent projects is kept; the platform's place for settings without it. */
  appDataDir?: string;
  timeouts?: Partial<SupervisorTimeouts>;
}

export interface Services {
  /** Validates name and input, runs the command and maps every failure; never rejects. */
  dispatch<K extends CommandName>(name: K, input: unknown): Promise<CommandResult<CommandOutput<K>>>;
  dispatch(name: string, input: unknown): Promise<CommandResult<unknown>>;
  onEvent(listener: (event: HostEvent) => void): () => void;
  /** Runs queued or running. */
  activeRuns(): number;
  /** Ends an installation, stops the running run at a checkpoint, then closes the project. */
  close(): Promise<void>;
}

export function createServices(options: ServicesOptions): Services {
  const listeners = new Set<(event: HostEvent) => void>();
  const emit = (event: HostEvent) => {
    for (const listener of listeners) listener(event);
  };
  const nodeFile = options.nodeFile ?? process.env.ROUNDOFF_NODE ?? process.execPath;
  const session = new ProjectSession({ ...options, nodeFile, emit });
  const runtimes = new RuntimeService(nodeFile, emit);
  const handlers = createHandlers(session, runtimes);
  return {
    dispatch: async (name: string, input: unknown) => {
      try {
        return { ok: true as const, value: (await runCommand(handlers, name, input)) as never };
      } catch (error) {
        return { ok: false as const, error: toErrorInfo(sqliteError(session.current?.info.path ?? 'The project', error)) };
      }
    },
    onEvent: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    activeRuns: () => session.activeRuns,
    close: async () => {
      await runtimes.close();
      await session.close();
    },
  };
}

async function runCommand(handlers: ReturnType<typeof createHandlers>, name: string, input: unknown): Promise<unknown> {
  if (!Object.hasOwn(commandInputs, name))
    throw new RoundoffError('bad-input', `There is no command "${name.slice(0, 80)}".`, 'Update Roundoff, or reload the page.');
  const command = name as CommandName;
  const parsed = commandInputs[command].safeParse(input);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || '(input)'}: ${issue.message}`);
    const code = problems.every((problem) => problem.startsWith('spec')) ? 'recipe-invalid' : 'bad-input';
    throw new RoundoffError(code, `The input of ${command} is not valid: ${problems[0]}`, 'Correct the fields listed.', { problems });
  }
  return (handlers[command] as (value: unknown) => unknown)(parsed.data);
}
