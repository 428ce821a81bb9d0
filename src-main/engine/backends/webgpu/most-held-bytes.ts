/** Recorded commands are submitted early when so much memory waits for it: buffers of disposed tensors that they use are in use until then. */
export const mostHeldBytes = 256 * 2 ** 20;
