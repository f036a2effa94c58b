/** The outcome of checking what a user wrote: a value, or one sentence that says what is wrong. */
export type Checked<A> =
  | { readonly ok: true; readonly value: A }
  | { readonly ok: false; readonly reason: string }

/** What was written is fine and means `value`. */
export const accept = <A>(value: A): Checked<A> => ({ ok: true, value })

/** What was written cannot be used; `reason` is one line that names the flag. */
export const refuse = (reason: string): Checked<never> => ({ ok: false, reason })
