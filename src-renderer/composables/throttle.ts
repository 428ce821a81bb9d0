/** Calls `action` at most once per `intervalMs`: at once when quiet, otherwise when the interval ends. */
export function throttle(intervalMs: number, action: () => void): { (): void; cancel(): void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let lastAt = Number.NEGATIVE_INFINITY;
  const fire = () => {
    timer = undefined;
    lastAt = Date.now();
    action();
  };
  const trigger = () => {
    if (timer !== undefined) return;
    timer = setTimeout(fire, Math.max(0, lastAt + intervalMs - Date.now()));
  };
  trigger.cancel = () => {
    clearTimeout(timer);
    timer = undefined;
  };
  return trigger;
}
