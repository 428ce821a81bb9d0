/** Small wheels in the layout of TensorFlow's, a package index that serves them, and tools that stand in for Node and the compiler. */
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { createZipArchiveSync, ZipEntry } from 'node:zlib';

export interface FakeWheel {
  name?: string;
  version?: string;
  platform?: string;
  files?: Record<string, string>;
  /** Instead of the files' own hashes. */
  record?: (file: string, hash: string) => string;
}

export const tensorflowFiles: Record<string, string> = {
  'tensorflow/libtensorflow_cc.so.2': 'c'.repeat(200_000),
  'tensorflow/libtensorflow_framework.so.2': 'f'.repeat(50_000),
  'tensorflow/include/tensorflow/c/c_api.h': '// api',
  'tensorflow/python/unused.py': 'pass',
};

/** Writes a wheel into `dir`; returns its path. */
export function writeFakeWheel(dir: string, options: FakeWheel = {}): string {
  const { name = 'tensorflow_cpu', version = '2.21.0', platform = 'manylinux_2_17_x86_64', files = tensorflowFiles } = options;
  const record = options.record ?? ((_file, hash) => hash);
  const info = `${name}-${version}.dist-info`;
  const all: Record<string, string> = { ...files, [`${info}/WHEEL`]: `Wheel-Version: 1.0\nTag: cp312-cp312-${platform}\n` };
  const lines = Object.entries(all).map(([file, content]) => {
    const hash = createHash('sha256').update(content).digest('base64url');
    return `${file},sha256=${record(file, hash)},${content.length}`;
  });
  all[`${info}/RECORD`] = `${lines.join('\n')}\n${info}/RECORD,,\n`;
  const entries = Object.entries(all).map(([file, content]) => ZipEntry.createSync(file, Buffer.from(content)));
  const file = path.join(dir, `${name}-${version}-cp312-cp312-${platform}.whl`);
  mkdirSync(dir, { recursive: true });
  writeFileSync(file, Buffer.concat([...createZipArchiveSync(entries)]));
  return file;
}

/** An executable shell script. */
export function writeScript(file: string, body: string): string {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\n${body}\n`);
  chmodSync(file, 0o755);
  return file;
}

/** A "Node" with headers that claims to have loaded TensorFlow 2.21.0, and a "compiler" that writes its output file. */
export function fakeTools(dir: string): { nodeFile: string; compiler: string } {
  const nodeFile = writeScript(path.join(dir, 'node/bin/node'), 'printf 2.21.0');
  mkdirSync(path.join(dir, 'node/include/node'), { recursive: true });
  writeFileSync(path.join(dir, 'node/include/node/node_api.h'), '');
  const compiler = writeScript(
    path.join(dir, 'compiler'),
    'for a in "$@"; do [ "$last" = -o ] && echo built > "$a"; last="$a"; done; exit 0',
  );
  return { nodeFile, compiler };
}

export interface FakeIndex {
  url: string;
  /** Range headers that were asked for, oldest first. */
  ranges: (string | undefined)[];
  close(): Promise<void>;
}

/**
 * Serves `wheel` under /simple/tensorflow-cpu/ and its bytes with ranges. `answer` may take over a request for the file by returning true.
 */
export async function serveIndex(
  wheel: string,
  options: { sha256?: string; html?: boolean; answer?(request: IncomingMessage, response: ServerResponse, bytes: Buffer): boolean } = {},
): Promise<FakeIndex> {
  const bytes = readFileSync(wheel);
  const filename = path.basename(wheel);
  const sha256 = options.sha256 ?? createHash('sha256').update(bytes).digest('hex');
  const ranges: FakeIndex['ranges'] = [];
  const server = createServer((request, response) => {
    if (request.url === '/simple/tensorflow-cpu/') {
      const json = JSON.stringify({ files: [{ filename, url: `/files/${filename}`, hashes: { sha256 }, size: bytes.length }] });
      const html = `<!DOCTYPE html><a href="../../files/${filename}#sha256=${sha256}">${filename}</a>`;
      response.setHeader('content-type', options.html ? 'text/html' : 'application/vnd.pypi.simple.v1+json');
      response.end(options.html ? html : json);
    } else if (request.url === `/files/${filename}`) {
      ranges.push(request.headers.range);
      if (!options.answer?.(request, response, bytes)) sendRange(request, response, bytes);
    } else {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/simple`,
    ranges,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

function sendRange(request: IncomingMessage, response: ServerResponse, bytes: Buffer): void {
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  response.writeHead(start > 0 ? 206 : 200, { 'content-length': bytes.length - start });
  response.end(bytes.subarray(start));
}
