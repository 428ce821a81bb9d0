/** Entry of the command line: `roundoff <command>`. Results on stdout, progress on stderr, exit code 0, 1 (failed) or 2 (bad usage or input). */
import { runCli } from './program.ts';

process.exitCode = await runCli(process.argv.slice(2));
