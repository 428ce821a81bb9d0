/** Points in time, in the reader's own time zone. */

/** 22 Nov 2026, 06:20 */
export function formatDateTime(unixMs: number): string {
  return new Date(unixMs).toLocaleString('en-GB', { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit' });
}

/** 06:20:31 */
export function formatClock(unixMs: number): string {
  return new Date(unixMs).toLocaleTimeString('en-GB');
}

/** just now, 5 minutes ago, yesterday, 22 Nov 2026 */
export function formatAgo(unixMs: number, nowMs: number): string {
  const minutes = Math.floor((nowMs - unixMs) / 60_000);
  if (minutes < 1) return 'just now';
  if (minutes < 60) return minutes === 1 ? '1 minute ago' : `${minutes} minutes ago`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return hours === 1 ? '1 hour ago' : `${hours} hours ago`;
  const days = Math.floor(hours / 24);
  if (days === 1) return 'yesterday';
  if (days < 7) return `${days} days ago`;
  return new Date(unixMs).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
}
