/** Entry of a decode thread: runs one lane's batch over the requests it claims, without a pause between steps. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { toErrorInfo } from '#contract/errors.ts';
import { Batch } from '../batch.ts';
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
    lane ??= new DecodeLane(plan, setup.lane, setup.sessions, memory);
    generate(lane, command);
  } catch (error) {
    post({ type: 'failed', error: toErrorInfo(error) });
  }
  post({ type: 'idle' });
});

function generate(engine: DecodeLane, { requests, settings }: Extract<LaneCommand, { type: 'run' }>): void {
  const { firstSlot, slots } = engine.plan;
  const shape = {
    slots: Array.from({ length: slots }, (_, index) => firstSlot + index),
    vocabSize: plan.config.vocabSize,
    maxRows: plan.maxRows,
  };
  const batch = new Batch(shape, settings, plan.config.eosTokenIds, () => {
    const index = Atomics.add(control, controlWords.next, 1);
    const request = requests[index];
    return request ? { index, request } : null;
  });
  while (Atomics.load(control, controlWords.stop) === 0) {
    const spans = batch.plan();
    if (spans.length === 0) return;
    for (const sequence of batch.accept(engine.forward(spans, settings.temperature))) post({ type: 'finished', sequence });
    Atomics.store(control, controlWords.tokens + setup.lane, batch.generatedTokens);
  }
}
