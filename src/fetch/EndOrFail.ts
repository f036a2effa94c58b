/**
 * How a stage ends its queue: quietly when it is through, with what went wrong otherwise, so that a
 * stage that dies takes the run with it and no stage waits for blocks that will never come.
 */
import { Effect, Exit, type Mailbox } from "effect"

/** Ends `out` as the stage ended. */
export const endOrFail = <A>(
  out: Mailbox.Mailbox<A>,
  exit: Exit.Exit<unknown>,
): Effect.Effect<unknown> => (Exit.isSuccess(exit) ? out.end : out.failCause(exit.cause))
