/** Runs the command line in this process and keeps what it wrote. */
import { Writable } from 'node:stream';
import { runCli } from '../../src-main/cli/program.ts';

export interface CliOutcome {
  code: number;
  stdout: string;
  stderr: string;
}

export async function roundoff(...args: string[]): Promise<CliOutcome> {
  const stdout = capture();
  const stderr = capture();
  const code = await runCli(args, { stdout: stdout.stream, stderr: stderr.stream });
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}

function capture(): { stream: Writable; text(): string } {
  let text = '';
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk);
      done();
    },
  });
  return { stream, text: () => text };
}
