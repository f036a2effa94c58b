/**
 * What can go wrong with the checking itself. That a block fails its checks is no error of theirs
 * but their result: a `CheckFailure`, which becomes one of `fetch/FetchError.ts` with the peer that
 * sent the part.
 */
import { Data } from "effect"

/**
 * A checking thread could not be started or ended by itself. Nobody's fault but the program's: a
 * defect, which ends the run.
 */
export class CheckThreadLost extends Data.TaggedError("CheckThreadLost")<{
  readonly reason: string
}> {
  override get message(): string {
    return `a checking thread is lost: ${this.reason}`
  }
}
