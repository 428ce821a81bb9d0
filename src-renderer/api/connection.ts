/** How the renderer stands with main. The Electron host is always connected; the browser host's socket may be lost and come back. */
export interface ConnectionState {
  status: 'connecting' | 'connected' | 'lost' | 'refused';
  /** Failed attempts since the connection was last up. */
  attempts: number;
  /** When the next attempt starts, Unix ms; null while one is under way. */
  retryAt: number | null;
}

export const connected: ConnectionState = { status: 'connected', attempts: 0, retryAt: null };

/** Delay before attempt `attempts + 1`: 0.25 s doubled up to 5 s. */
export function retryDelayMs(attempts: number): number {
  return Math.min(5000, 250 * 2 ** Math.max(0, attempts - 1));
}
