/** Services that record what reaches them, for tests of the two hosts. */
import type { CommandResult } from '#contract/errors.ts';
import type { HostEvent } from '#contract/records.ts';
import type { HostServices } from '../../src-main/app/host-services.ts';

export class FakeServices implements HostServices {
  calls: { name: string; input: unknown }[] = [];
  listeners = new Set<(event: HostEvent) => void>();
  running = 0;
  closed = 0;

  async dispatch(name: string, input: unknown): Promise<CommandResult<unknown>> {
    this.calls.push({ name, input });
    return { ok: true, value: { name, input } };
  }

  onEvent(listener: (event: HostEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  emit(event: HostEvent): void {
    for (const listener of this.listeners) listener(event);
  }

  activeRuns(): number {
    return this.running;
  }

  async close(): Promise<void> {
    this.closed += 1;
  }
}
