/**
 * What the user asked for cannot be done as asked: a flag, a file or a port that cannot be used.
 * The command line prints it as one line and ends with exit code 2. A program fails with it for
 * what shows only while it runs.
 */
import { Data } from "effect"

/** `reason` is one line that names the flag, file or port; the user is to blame. */
export class UsageError extends Data.TaggedError("UsageError")<{ readonly reason: string }> {}
