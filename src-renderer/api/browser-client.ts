/**
 * `RoundoffApi` over the browser host's WebSocket: numbered requests, events in between, reconnecting with back-off. Commands given
 * while the connection is down wait for it for a while; those under way when it breaks fail, since main may or may not have done them.
 */
import type { RoundoffApi } from '#contract/commands.ts';
import type { CommandResult } from '#contract/errors.ts';
import type { HostEvent } from '#contract/records.ts';
import { type ConnectionState, connected, retryDelayMs } from './connection.ts';

const protocolName = 'roundoff.v1';

export interface BrowserClientOptions {
  /** `ws://host/ws` */
  url: string;
  token: string;
  openSocket?: (url: string, protocols: string[]) => WebSocket;
  /** How long a command waits for a connection before it fails. */
  waitMs?: number;
}

export interface BrowserClient extends RoundoffApi {
  onConnection(listener: (state: ConnectionState) => void): () => void;
  /** Tries to connect now instead of after the back-off. */
  retry(): void;
  close(): void;
}

interface PendingCommand {
  message: string;
  sent: boolean;
  settle(result: CommandResult<never>): void;
}

/** Connects at once; the state is told to `onConnection` listeners, the current one on subscription. */
export function createBrowserClient(options: BrowserClientOptions): BrowserClient {
  const openSocket = options.openSocket ?? ((url, protocols) => new WebSocket(url, protocols));
  const waitMs = options.waitMs ?? 15_000;
  const pending = new Map<number, PendingCommand>();
  const eventListeners = new Set<(event: HostEvent) => void>();
  const stateListeners = new Set<(state: ConnectionState) => void>();
  let state: ConnectionState = { status: 'connecting', attempts: 0, retryAt: null };
  let everConnected = false;
  let closed = false;
  let socket: WebSocket | null = null;
  let retryTimer: ReturnType<typeof setTimeout> | undefined;
  let lastId = 0;

  const setState = (next: ConnectionState) => {
    state = next;
    for (const listener of stateListeners) listener(state);
  };

  function connect(): void {
    clearTimeout(retryTimer);
    const opening = openSocket(options.url, [protocolName, `token.${options.token}`]);
    socket = opening;
    opening.onopen = () => {
      everConnected = true;
      setState(connected);
      for (const command of pending.values()) if (!command.sent) transmit(command);
    };
    opening.onmessage = (message) => receive(String(message.data));
    opening.onclose = () => {
      if (socket === opening && !closed) lose();
    };
  }

  function lose(): void {
    socket = null;
    for (const [id, command] of pending) {
      if (!command.sent) continue;
      pending.delete(id);
      command.settle(disconnected('The connection to Roundoff broke before the answer came.'));
    }
    const attempts = state.attempts + 1;
    const delayMs = retryDelayMs(attempts);
    setState({ status: everConnected ? 'lost' : 'refused', attempts, retryAt: Date.now() + delayMs });
    retryTimer = setTimeout(retry, delayMs);
  }

  function retry(): void {
    if (socket || closed) return;
    setState({ ...state, retryAt: null });
    connect();
  }

  function transmit(command: PendingCommand): void {
    command.sent = true;
    socket?.send(command.message);
  }

  function receive(text: string): void {
    const message = JSON.parse(text) as { id?: number; result?: CommandResult<never>; event?: HostEvent };
    if (message.event) for (const listener of eventListeners) listener(message.event);
    if (typeof message.id !== 'number' || !message.result) return;
    pending.get(message.id)?.settle(message.result);
    pending.delete(message.id);
  }

  function request(name: string, input: unknown): Promise<CommandResult<never>> {
    const id = ++lastId;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        if (pending.get(id)?.sent) return;
        pending.delete(id);
        resolve(disconnected('Roundoff could not be reached.'));
      }, waitMs);
      const settle = (result: CommandResult<never>) => {
        clearTimeout(timer);
        resolve(result);
      };
      const command: PendingCommand = { message: JSON.stringify({ id, name, input }), sent: false, settle };
      pending.set(id, command);
      if (state.status === 'connected') transmit(command);
    });
  }

  connect();
  return {
    invoke: (name, input) => request(name, input),
    onEvent: (listener) => subscribe(eventListeners, listener),
    onConnection: (listener) => {
      listener(state);
      return subscribe(stateListeners, listener);
    },
    retry,
    close: () => {
      closed = true;
      clearTimeout(retryTimer);
      socket?.close();
    },
  };
}

function subscribe<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function disconnected(message: string): CommandResult<never> {
  const hint = 'Check that Roundoff is still running. The page reconnects by itself; then try again.';
  return { ok: false, error: { code: 'disconnected', message, hint } };
}
