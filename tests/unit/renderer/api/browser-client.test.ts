import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { HostEvent } from '#contract/records.ts';
import { type BrowserHost, startBrowserHost } from '../../../../src-main/app/browser-host.ts';
import { type BrowserClient, createBrowserClient } from '../../../../src-renderer/api/browser-client.ts';
import { type ConnectionState, retryDelayMs } from '../../../../src-renderer/api/connection.ts';
import { takeToken } from '../../../../src-renderer/api/token.ts';
import { FakeServices } from '../../../support/fake-services.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'roundoff-client-'));
let services: FakeServices;
let host: BrowserHost;
let client: BrowserClient | null = null;

beforeEach(async () => {
  services = new FakeServices();
  host = await startBrowserHost({ services, rendererDir: folder, token: 'secret' });
});
afterEach(async () => {
  client?.close();
  await host.close();
  rmSync(folder, { recursive: true, force: true });
});

function connect(token = 'secret', waitMs = 5000): BrowserClient {
  const { port } = host;
  client = createBrowserClient({
    url: `ws://127.0.0.1:${port}/ws`,
    token,
    waitMs,
    openSocket: (url, protocols) => new WebSocket(url, { protocols, headers: { origin: `http://127.0.0.1:${port}` } }),
  });
  return client;
}

/** The first state that fits, from now on. */
function stateOf(of: BrowserClient, fits: (state: ConnectionState) => boolean): Promise<ConnectionState> {
  return new Promise((resolve) => {
    of.onConnection((state) => {
      if (fits(state)) resolve(state);
    });
  });
}

describe('the browser client', () => {
  it('sends what was asked before the socket was open and matches answers to questions', async () => {
    const api = connect();
    const answers = await Promise.all([api.invoke('runs.list', { studyId: 3 }), api.invoke('app.info', {})]);
    expect(answers).toMatchObject([
      { ok: true, value: { name: 'runs.list', input: { studyId: 3 } } },
      { ok: true, value: { name: 'app.info', input: {} } },
    ]);
  });

  it('hands events to listeners until they unsubscribe', async () => {
    const api = connect();
    await stateOf(api, (state) => state.status === 'connected');
    await api.invoke('app.info', {});
    const received: HostEvent[] = [];
    const stop = api.onEvent((event) => received.push(event));
    services.emit({ type: 'project-changed', project: null });
    await api.invoke('app.info', {});
    stop();
    services.emit({ type: 'project-changed', project: null });
    await api.invoke('app.info', {});
    expect(received).toEqual([{ type: 'project-changed', project: null }]);
  });

  it('fails the command under way when the connection breaks, then reconnects', async () => {
    const api = connect();
    await stateOf(api, (state) => state.status === 'connected');
    services.dispatch = () => new Promise(() => undefined);
    const hanging = api.invoke('app.doctor', {});
    await new Promise((resolve) => setTimeout(resolve, 50));
    const { port } = host;
    await host.close();
    expect(await hanging).toMatchObject({ ok: false, error: { code: 'disconnected' } });
    expect(await stateOf(api, (state) => state.status === 'lost')).toMatchObject({ status: 'lost' });
    services = new FakeServices();
    host = await startBrowserHost({ services, rendererDir: folder, token: 'secret', port });
    api.retry();
    await stateOf(api, (state) => state.status === 'connected');
    expect(await api.invoke('app.info', {})).toMatchObject({ ok: true });
  });

  it('tells a refused key from a lost connection, and fails commands that waited in vain', async () => {
    const api = connect('wrong', 300);
    const refused = await stateOf(api, (state) => state.status === 'refused');
    expect(refused.attempts).toBeGreaterThan(0);
    expect(await api.invoke('app.info', {})).toMatchObject({ ok: false, error: { code: 'disconnected' } });
    expect(services.calls).toEqual([]);
  });

  it('waits longer after every failure, up to five seconds', () => {
    expect([1, 2, 3, 10].map(retryDelayMs)).toEqual([250, 500, 1000, 5000]);
  });
});

describe('the key in the address', () => {
  function page(hash: string, stored: string | null = null) {
    const kept = new Map(stored === null ? [] : [['roundoff.token', stored]]);
    const replaced: string[] = [];
    const place = {
      location: { hash, pathname: '/', search: '' },
      history: { replaceState: (_data: unknown, _unused: string, url: string) => void replaced.push(url) },
      sessionStorage: {
        getItem: (key: string) => kept.get(key) ?? null,
        setItem: (key: string, value: string) => void kept.set(key, value),
      },
    };
    return { place, replaced };
  }

  it('moves to the session and leaves the address', () => {
    const { place, replaced } = page('#token=abc_-9');
    expect(takeToken(place)).toBe('abc_-9');
    expect(replaced).toEqual(['/']);
  });

  it('is remembered on reload, and a route is not taken for a key', () => {
    const { place, replaced } = page('#/project/runs', 'kept');
    expect(takeToken(place)).toBe('kept');
    expect(replaced).toEqual([]);
    expect(takeToken(page('#/token=x').place)).toBeNull();
  });
});
