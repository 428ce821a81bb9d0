/** `verify`: one `{gold, completion}` per line in, verdict and extracted answer per line out. */
import type { Command } from 'commander';
import { RoundoffError } from '#contract/errors.ts';
import { streamJsonl } from '../../engine/data/jsonl.ts';
import { getVerifier } from '../../engine/verifiers/index.ts';
import type { CliContext } from '../context.ts';
import { examples, jsonOption, userPath } from '../options.ts';

const versions: Record<string, string> = { maths: 'maths-1' };

export function addVerify(program: Command, context: CliContext): void {
  const command = program
    .command('verify <file>')
    .description('check answers: {"gold": …, "completion": …} per line in; one JSON object per line out')
    .option('--verifier <name>', 'which verifier decides', 'maths')
    .addOption(jsonOption());
  examples(command, ['verify answers.jsonl', 'verify answers.jsonl --verifier maths-1 > verdicts.jsonl']).action(
    async (file: string, { verifier: name }: { verifier: string }) => {
      const verifier = getVerifier(versions[name] ?? name);
      const source = userPath(file, context.resourcesDir);
      for await (const { line, value } of streamJsonl(source, { signal: context.signal })) {
        const { gold, completion, finishReason = 'stop' } = value;
        if (typeof gold !== 'string' || typeof completion !== 'string' || (finishReason !== 'stop' && finishReason !== 'length'))
          throw new RoundoffError(
            'dataset-invalid',
            `${source}, line ${line}: "gold" and "completion" must be texts${finishReason === 'stop' ? '' : ', and "finishReason" stop or length'}.`,
            'Write one object like {"gold": "5/6", "completion": "… \\\\boxed{5/6}"} per line.',
          );
        context.terminal.stdout.write(`${JSON.stringify(await verifier.verify({ gold, completion, finishReason }))}\n`);
      }
    },
  );
}
