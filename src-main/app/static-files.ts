/**
 * Serves the built renderer from one folder, for Electron's `app://` protocol and for the browser host alike: same headers, same
 * content security policy, nothing outside the folder.
 */
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';

const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "font-src 'self'",
  "connect-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-src 'none'",
  "frame-ancestors 'none'",
  "object-src 'none'",
];
export const contentSecurityPolicy = policy.join('; ');

export const securityHeaders: Record<string, string> = {
  'content-security-policy': contentSecurityPolicy,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
};

const contentTypes: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.json': 'application/json',
};

export interface StaticResponse {
  status: 200 | 400 | 403 | 404;
  headers: Record<string, string>;
  body: Uint8Array<ArrayBuffer>;
}

/** Answers one GET. `urlPath` is the still percent-encoded path of the URL. */
export async function serveStatic(root: string, urlPath: string): Promise<StaticResponse> {
  const refuse = (status: StaticResponse['status']): StaticResponse => ({ status, headers: securityHeaders, body: new Uint8Array() });
  let relative: string;
  try {
    relative = decodeURIComponent(urlPath);
  } catch {
    return refuse(400);
  }
  const file = path.resolve(root, `.${relative === '/' ? '/index.html' : relative}`);
  const inside = path.relative(root, file);
  if (relative.includes('\0') || relative.includes('\\') || inside.startsWith('..') || path.isAbsolute(inside)) return refuse(403);
  try {
    if (!(await stat(file)).isFile()) return refuse(404);
    const type = contentTypes[path.extname(file)] ?? 'application/octet-stream';
    return { status: 200, headers: { ...securityHeaders, 'content-type': type }, body: new Uint8Array(await readFile(file)) };
  } catch {
    return refuse(404);
  }
}
