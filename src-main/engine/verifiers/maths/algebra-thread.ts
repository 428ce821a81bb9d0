/** Entry of an algebra thread: answers one question after the other. What it cannot compute is "cannot tell", never an end. */
import { type MessagePort, parentPort } from 'node:worker_threads';
import { createAlgebra } from './algebra.ts';
import type { AlgebraQuestion, AlgebraReply } from './algebra-messages.ts';

const port = parentPort as MessagePort;
const post = (reply: AlgebraReply) => port.postMessage(reply);
const algebra = createAlgebra();

port.on('message', ({ gold, answer }: AlgebraQuestion) => {
  let equal: boolean | null = null;
  try {
    equal = algebra(gold, answer);
  } catch {
    // The engine throws on some formulas; a comparison it does not survive is one it cannot make.
  }
  post({ type: 'answer', equal });
});
post({ type: 'ready' });
