import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { type BrowserHost, socketProtocol, startBrowserHost } from '../../../src-main/app/browser-host.ts';
import { contentSecurityPolicy } from '../../../src-main/app/static-files.ts';
import { FakeServices } from '../../support/fake-services.ts';

const services = new FakeServices();
let folder: string;
let host: BrowserHost;
let token: string;

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'roundoff-host-'));
  writeFileSync(path.join(folder, 'index.html'), '<!doctype html><title>Roundoff</title>');
  host = await startBrowserHost({ services, rendererDir: folder });
  token = host.url.split('#token=')[1]!;
});
afterAll(async () => {
  await host.close();
  rmSync(folder, { recursive: true });
});

/** Sends raw bytes and returns the status line, so that no client library tidies the request up. */
function statusOf(request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(host.port, '127.0.0.1', () => socket.write(request));
    let text = '';
    socket.on('data', (data) => {
      text += data;
      if (text.includes('\r\n')) {
        socket.destroy();
        resolve(text.split('\r\n')[0]!);
      }
    });
    socket.on('error', reject);
  });
}

const get = (target: string, hostName = `127.0.0.1:${host.port}`, method = 'GET') =>
  statusOf(`${method} ${target} HTTP/1.1\r\nHost: ${hostName}\r\nConnection: close\r\n\r\n`);

const upgrade = (options: { origin?: string; hostName?: string; protocols?: string }) => {
  const hostName = options.hostName ?? `127.0.0.1:${host.port}`;
  return statusOf(
    [
      'GET /ws HTTP/1.1',
      `Host: ${hostName}`,
      `Origin: ${options.origin ?? `http://${hostName}`}`,
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      `Sec-WebSocket-Protocol: ${options.protocols ?? `${socketProtocol}, token.${token}`}`,
      '\r\n',
    ].join('\r\n'),
  );
};

describe('browser host: files', () => {
  it('serves the page with the content security policy', async () => {
    const response = await fetch(`http://127.0.0.1:${host.port}/`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-security-policy')).toBe(contentSecurityPolicy);
    expect(contentSecurityPolicy).not.toMatch(/unsafe/);
    expect(await response.text()).toContain('<title>Roundoff</title>');
  });

  it.each([
    ['traversal', '/..%2f..%2fetc%2fpasswd', 403],
    ['encoded dots', '/%2e%2e/%2e%2e/etc/passwd', 403],
    ['backslashes', '/..%5c..%5cwindows', 403],
    ['a null byte', '/index.html%00.js', 403],
    ['broken percent encoding', '/%zz', 400],
    ['a missing file', '/nothing.js', 404],
    ['a folder', '/.', 404],
  ])('answers %s with a refusal', async (_what, target, status) => {
    expect(await get(target)).toContain(` ${status} `);
  });

  it('refuses other methods and foreign Host names', async () => {
    expect(await get('/', undefined, 'POST')).toContain(' 403 ');
    expect(await get('/', 'evil.example')).toContain(' 403 ');
    expect(await get('/', 'localhost:9000')).toContain(' 200 ');
  });
});

describe('browser host: socket', () => {
  it('accepts the token from its own origin, also through a forwarded port', async () => {
    expect(await upgrade({})).toContain(' 101 ');
    expect(await upgrade({ hostName: 'localhost:9000' })).toContain(' 101 ');
  });

  it.each([
    ['a wrong token', { protocols: `${socketProtocol}, token.x` }],
    ['no token', { protocols: socketProtocol }],
    ['another protocol', { protocols: 'chat' }],
    ['a foreign origin', { origin: 'http://evil.example' }],
    ['a rebound host', { hostName: 'evil.example', origin: 'http://evil.example' }],
  ])('refuses %s', async (_what, options) => {
    expect(await upgrade(options)).toContain(' 401 ');
  });

  it('answers commands, forwards events and forgets closed clients', async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${host.port}/ws`, [socketProtocol, `token.${token}`], {
      origin: `http://127.0.0.1:${host.port}`,
    });
    const received: unknown[] = [];
    socket.on('message', (data) => received.push(JSON.parse(String(data))));
    await new Promise((resolve) => socket.once('open', resolve));
    socket.send(JSON.stringify({ id: 7, name: 'app.info', input: {} }));
    socket.send('not json');
    services.emit({ type: 'project-changed', project: null });
    await expect.poll(() => received.length).toBe(3);
    expect(received).toContainEqual({ id: 7, result: { ok: true, value: { name: 'app.info', input: {} } } });
    expect(received).toContainEqual({ event: { type: 'project-changed', project: null } });
    expect(received).toContainEqual(expect.objectContaining({ id: null, result: expect.objectContaining({ ok: false }) }));
    expect(services.listeners.size).toBeGreaterThan(0);
    socket.close();
    await expect.poll(() => services.listeners.size).toBe(0);
  });
});
