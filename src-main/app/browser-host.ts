/**
 * The browser host: the same services and the same renderer bundle as Electron's, on 127.0.0.1 behind a random token, for GPU machines
 * reached through SSH port forwarding and wherever Electron's binary is missing.
 * Guards: loopback Host names only (DNS rebinding), same Origin, token in the WebSocket subprotocol, GET and HEAD alone.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { HostServices } from './host-services.ts';
import { securityHeaders, serveStatic } from './static-files.ts';

export const socketProtocol = 'roundoff.v1';
const maxMessageBytes = 8 * 1024 * 1024;
/** A client that reads slower than this falls behind is dropped; it reconnects and takes a new snapshot. */
const maxBufferedBytes = 64 * 1024 * 1024;

export interface BrowserHostOptions {
  services: HostServices;
  rendererDir: string;
  /** 0 picks a free port. */
  port?: number;
  token?: string;
}

export interface BrowserHost {
  /** Opens the workbench; holds the token in its fragment. */
  url: string;
  port: number;
  close(): Promise<void>;
}

/** Starts listening. Rejects when the port is taken. */
export async function startBrowserHost(options: BrowserHostOptions): Promise<BrowserHost> {
  const token = options.token ?? randomBytes(32).toString('base64url');
  const server = http.createServer((request, response) => void answer(request, response, options.rendererDir));
  const sockets = new WebSocketServer({ noServer: true, maxPayload: maxMessageBytes, handleProtocols: () => socketProtocol });
  server.on('upgrade', (request, socket, head) => {
    if (!mayConnect(request, token)) {
      refuse(socket);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (client) => attach(client, options.services));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const port = (server.address() as AddressInfo).port;
  return {
    port,
    url: `http://127.0.0.1:${port}/#token=${token}`,
    close: () =>
      new Promise((resolve) => {
        for (const client of sockets.clients) client.terminate();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(request: http.IncomingMessage, response: http.ServerResponse, rendererDir: string): Promise<void> {
  if (!isLoopback(request.headers.host) || (request.method !== 'GET' && request.method !== 'HEAD')) {
    response.writeHead(403, securityHeaders).end();
    return;
  }
  const urlPath = (request.url ?? '/').split(/[?#]/, 1)[0] ?? '/';
  const result = await serveStatic(rendererDir, urlPath);
  response.writeHead(result.status, result.headers).end(request.method === 'HEAD' ? undefined : result.body);
}

/** Any loopback name and port (SSH may forward another local port), but no other Host. */
function isLoopback(host: string | undefined): boolean {
  return /^(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?$/.test(host ?? '');
}

function mayConnect(request: http.IncomingMessage, token: string): boolean {
  const offered = String(request.headers['sec-websocket-protocol'] ?? '')
    .split(',')
    .map((name) => name.trim());
  return (
    isLoopback(request.headers.host) &&
    request.headers.origin === `http://${request.headers.host}` &&
    offered[0] === socketProtocol &&
    sameText(offered[1] ?? '', `token.${token}`)
  );
}

function sameText(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}

function refuse(socket: Duplex): void {
  socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
}

function attach(client: WebSocket, services: HostServices): void {
  const send = (message: unknown) => {
    if (client.readyState !== client.OPEN) return;
    if (client.bufferedAmount > maxBufferedBytes) {
      client.terminate();
      return;
    }
    client.send(JSON.stringify(message));
  };
  const unsubscribe = services.onEvent((event) => send({ event }));
  client.on('close', unsubscribe);
  client.on('error', () => client.terminate());
  client.on('message', (data) => void handleMessage(String(data), services, send));
}

async function handleMessage(text: string, services: HostServices, send: (message: unknown) => void): Promise<void> {
  let message: { id?: unknown; name?: unknown; input?: unknown };
  try {
    message = JSON.parse(text);
  } catch {
    send({
      id: null,
      result: { ok: false, error: { code: 'bad-input', message: 'The message is not JSON.', hint: 'Reload the page.' } },
    });
    return;
  }
  if (message === null || typeof message !== 'object') return;
  send({ id: message.id ?? null, result: await services.dispatch(String(message.name), message.input) });
}
