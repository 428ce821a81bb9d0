/** Entry of a decode thread: runs one lane's batch over the requests it claims, without a pause between steps. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { toErrorInfo } from '#contract/errors.ts';
import { Batch, type ClaimedRequest, claimable } from '../batch.ts';
import { isDropped } from '../drop-list.ts';
import { DecodeLane } from './lane.ts';
import type { LaneCommand, LaneEvent, LaneSetup } from './messages.ts';
import { controlWords } from './plan.ts';

const setup = workerData as LaneSetup;
const { plan, memory } = setup;
const port = parentPort as MessagePort;
const control = new Int32Array(memory.buffer, plan.control, controlWords.tokens + plan.lanes.length);
const post = (event: LaneEvent) => port.postMessage(event);
let lane: DecodeLane | undefined;

port.on('message', (command: LaneCommand) => {
  if (command.type === 'close') {
    lane?.dispose();
    port.close();
    return;
  }
  try {
    lane ??= new DecodeLane(plan, setup.lane, command.sessions, memory);
    lane.sessions = command.sessions;
    generate(lane, command);
  } catch (error) {
    post({ type: 'failed', error: toErrorInfo(error) });
  }
  post({ type: 'idle' });
});

function generate(engine: DecodeLane, { requests, settings, dropped }: Extract<LaneCommand, { type: 'run' }>): void {
  const { firstSlot, slots } = engine.plan;
  const shape = {
    slots: Array.from({ length: slots }, (_, index) => firstSlot + index),
    vocabSize: plan.config.vocabSize,
    maxRows: plan.maxRows,
  };
  const claim = (most: number): ClaimedRequest[] => {
    for (;;) {
      const first = Atomics.load(control, controlWords.next);
      const count = claimable(requests, first, most);
      if (Atomics.compareExchange(control, controlWords.next, first, first + count) !== first) continue;
      return requests.slice(first, first + count).map((request, place) => ({ index: first + place, request }));
    }
  };
  const batch = new Batch(shape, settings, plan.config.eosTokenIds, claim, (index) => isDropped(dropped, index));
  while (Atomics.load(control, controlWords.stop) === 0) {
    const spans = batch.plan();
    if (spans.length === 0) return;
    engine.copyCache(batch.copies);
    for (const sequence of batch.accept(engine.forward(spans, settings.temperature))) post({ type: 'finished', sequence });
    Atomics.store(control, controlWords.tokens + setup.lane, batch.generatedTokens);
  }
}
