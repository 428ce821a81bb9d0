/** What passes between the verifier and an algebra thread. */

export interface AlgebraQuestion {
  gold: string;
  answer: string;
}

/** `equal` is null when the thread cannot tell. */
export type AlgebraReply = { type: 'ready' } | { type: 'answer'; equal: boolean | null };
