/**
 * The threads of a CPU decode engine, one per lane. They start with the first run, wait between runs without keeping the process alive, and
 * are replaced when one dies.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { fromErrorInfo, RoundoffError } from '#contract/errors.ts';
import type { FinishedSequence } from '../batch.ts';
import type { LaneCommand, LaneEvent, LaneSetup } from './messages.ts';

type RunCommand = Extract<LaneCommand, { type: 'run' }>;

export class LanePool {
  private readonly setups: LaneSetup[];
  private threads: Worker[] = [];

  constructor(setups: LaneSetup[]) {
    this.setups = setups;
  }

  /** Resolves when every lane is idle again. The first failure, in a lane or in `onFinished`, calls `stop` and is thrown then. */
  async run(command: RunCommand, stop: () => void, onFinished: (sequence: FinishedSequence) => void): Promise<void> {
    if (this.threads.length === 0) this.threads = this.setups.map((workerData) => new Worker(threadEntry(), { workerData }));
    const failures: unknown[] = [];
    const fail = (error: unknown) => {
      failures.push(error);
      stop();
    };
    const handle = (event: LaneEvent) => {
      if (event.type === 'failed') fail(fromErrorInfo(event.error));
      if (event.type !== 'finished' || failures.length > 0) return;
      try {
        onFinished(event.sequence);
      } catch (error) {
        fail(error);
      }
    };
    const lanes = this.threads.map((thread) =>
      runLane(thread, command, handle).then(
        () => true,
        (error) => {
          fail(error);
          return false;
        },
      ),
    );
    const alive = await Promise.all(lanes);
    if (alive.includes(false)) await this.end(alive);
    if (failures.length > 0) throw failures[0];
  }

  /** Resolves when the threads have ended; a later run starts new ones. */
  async end(alive = this.threads.map(() => true)): Promise<void> {
    const living = this.threads.filter((_, lane) => alive[lane]);
    this.threads = [];
    await Promise.all(living.map(endThread));
  }
}

/** Sends the command and passes events on until the thread is idle again. Rejects when the thread dies. */
function runLane(thread: Worker, command: LaneCommand, handle: (event: LaneEvent) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (settle: () => void) => {
      thread.off('message', onMessage).off('error', onError).off('exit', onExit);
      thread.unref();
      settle();
    };
    const onMessage = (event: LaneEvent) => (event.type === 'idle' ? done(resolve) : handle(event));
    const onError = (error: Error) => done(() => reject(error));
    const onExit = (code: number) =>
      done(() => reject(new RoundoffError('internal', `a decode thread ended with code ${code}`, 'Please report this with the log.')));
    thread.ref();
    thread.on('message', onMessage).on('error', onError).on('exit', onExit);
    thread.postMessage(command);
  });
}

function endThread(thread: Worker): Promise<void> {
  return new Promise((resolve) => {
    thread.ref();
    thread.once('exit', () => resolve());
    thread.postMessage({ type: 'close' } satisfies LaneCommand);
  });
}

/** The source beside this file, or what the packaged app's build made of it. */
function threadEntry(): string {
  const places = ['./lane-thread.ts', './decode-lane.js', '../decode-lane.js'];
  const paths = places.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  const found = paths.find((path) => existsSync(path));
  if (found) return found;
  throw new RoundoffError('internal', `the decode thread's code is missing (looked for ${paths.join(', ')})`, 'Reinstall Roundoff.');
}
