/**
 * The one place that knows how main is reached: Electron's preload script (`window.roundoff`), or the browser host's socket.
 * Stores call `call`, which turns error results into thrown `RoundoffError`s.
 */
import type { CommandInput, CommandName, CommandOutput, RoundoffApi } from '#contract/commands.ts';
import { fromErrorInfo } from '#contract/errors.ts';
import type { HostEvent } from '#contract/records.ts';
import { type BrowserClient, createBrowserClient } from './browser-client.ts';
import { type ConnectionState, connected } from './connection.ts';
import { takeToken } from './token.ts';

export type { ConnectionState } from './connection.ts';

interface HostPage {
  roundoff?: RoundoffApi;
  location: { hash: string; host: string; pathname: string; protocol: string; search: string };
  history: { replaceState(data: unknown, unused: string, url: string): void };
  sessionStorage: { getItem(key: string): string | null; setItem(key: string, value: string): void };
}

let api: RoundoffApi | null = null;
let browserClient: BrowserClient | null = null;

/** Chooses the host. Call once, before the router is created: the browser host's key is in the address's fragment. */
export function startClient(page: HostPage): void {
  if (page.roundoff) {
    api = page.roundoff;
    return;
  }
  const scheme = page.location.protocol === 'https:' ? 'wss' : 'ws';
  const token = takeToken(page);
  browserClient = createBrowserClient({ url: `${scheme}://${page.location.host}/ws`, token: token ?? 'none' });
  api = browserClient;
}

/** Gives a command. Rejects with a `RoundoffError`. */
export async function call<K extends CommandName>(name: K, input: CommandInput<K>): Promise<CommandOutput<K>> {
  const result = await client().invoke(name, input);
  if (!result.ok) throw fromErrorInfo(result.error);
  return result.value;
}

export function onHostEvent(listener: (event: HostEvent) => void): () => void {
  return client().onEvent(listener);
}

/** Tells the current state at once, then every change. */
export function onConnection(listener: (state: ConnectionState) => void): () => void {
  if (browserClient) return browserClient.onConnection(listener);
  listener(connected);
  return () => undefined;
}

export function retryConnection(): void {
  browserClient?.retry();
}

function client(): RoundoffApi {
  if (!api) throw new Error('startClient has not been called');
  return api;
}
