/**
 * Entry of the sandboxed process: starts a Python interpreter that knows nothing of Node, closes what is left open around it, and runs one
 * program against the inputs it is sent. It never sees an expected output, and trusts nothing it does to be the last defence (docs/sandbox.md).
 */
import { readSync, writeSync } from 'node:fs';
import type { ChildReply, ChildRequest, ChildSettings } from '../messages.ts';
import { type Interpreter, startInterpreter } from './interpreter.ts';
import { capMemory, closeProcess, closeRealm } from './lockdown.ts';
import { openPlaces } from './probe.ts';

const pause = new Int32Array(new SharedArrayBuffer(4));
const settings = JSON.parse(process.argv[2]!) as ChildSettings;
const exit = (process as unknown as { reallyExit(code: number): never }).reallyExit.bind(process);
const { mode } = settings;
if (mode === 'probe') {
  // Before anything is closed here: the process itself has to hold.
  const open = await openPlaces(settings.probe!);
  reply({ type: 'probed', open });
  exit(0);
}
capMemory(settings.memoryBytes);
closeProcess();
const interpreter = await startInterpreter(settings);
if (mode === 'snapshot') {
  writeAll(interpreter.snapshot());
  exit(0);
}
closeRealm();
serve(interpreter);
exit(0);

/** Answers requests one by one until there are no more. Nothing else ever runs between them: there is no event loop to come back to. */
function serve(python: Interpreter): void {
  reply({ type: 'ready' });
  for (const line of lines()) {
    const request = JSON.parse(line) as ChildRequest;
    if (request.type === 'load') reply({ type: 'loaded', error: python.load(request.code, request.functionName) });
    else {
      const run = python.run(request.input);
      reply({ type: 'ran', ...run });
      if (run.outcome === 'fatal') return;
    }
  }
}

function* lines(): Generator<string> {
  let parts: Buffer[] = [];
  for (;;) {
    const chunk = Buffer.alloc(1 << 16);
    const count = retrying(() => readSync(0, chunk, 0, chunk.length, null));
    if (count === 0) return;
    let rest = chunk.subarray(0, count);
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      yield Buffer.concat([...parts, rest.subarray(0, end)]).toString('utf8');
      parts = [];
      rest = rest.subarray(end + 1);
    }
    if (rest.length > 0) parts.push(rest);
  }
}

function reply(message: ChildReply): void {
  writeAll(Buffer.from(`${JSON.stringify(message)}\n`));
}

function writeAll(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += retrying(() => writeSync(1, bytes, at));
}

/** Pipes that are not ready say so; nothing else is to be done meanwhile. */
function retrying(operation: () => number): number {
  for (;;) {
    try {
      return operation();
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === 'EOF') return 0;
      if (code !== 'EAGAIN') throw error;
      Atomics.wait(pause, 0, 0, 1);
    }
  }
}
