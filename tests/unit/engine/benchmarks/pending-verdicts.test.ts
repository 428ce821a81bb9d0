import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { PendingVerdicts } from '../../../../src-main/engine/benchmarks/pending-verdicts.ts';

describe('PendingVerdicts', () => {
  it('waits for verdicts, those added meanwhile included', async () => {
    const verdicts = new PendingVerdicts(undefined);
    const judged: string[] = [];
    const judge = async (name: string, waitMs: number) => {
      await delay(waitMs);
      judged.push(name);
    };
    verdicts.add(judge('slow', 20));
    verdicts.add(judge('quick', 1).then(() => verdicts.add(judge('late', 30))));
    await verdicts.settled();
    expect(judged).toEqual(['quick', 'slow', 'late']);
    verdicts.throwIfFailed();
    expect(verdicts.signal.aborted).toBe(false);
  });

  it('aborts with the first failure, and throws it once the others ended', async () => {
    const verdicts = new PendingVerdicts(undefined);
    let ended = false;
    verdicts.add(Promise.reject(new Error('no sandbox')));
    verdicts.add(delay(10).then(() => Promise.reject(new Error('later'))));
    verdicts.add(
      delay(20).then(() => {
        ended = true;
      }),
    );
    await verdicts.settled();
    expect(ended).toBe(true);
    expect(verdicts.signal.aborted).toBe(true);
    expect(() => verdicts.throwIfFailed()).toThrow('no sandbox');
  });

  it('passes on that the evaluation was cancelled, which is no failed verdict', () => {
    const controller = new AbortController();
    const verdicts = new PendingVerdicts(controller.signal);
    controller.abort();
    expect(verdicts.signal.aborted).toBe(true);
    verdicts.throwIfFailed();
  });
});
