/**
 * What can go wrong between asking a peer for a block and having it. Errors of one request on the
 * wire (`Timeout`, `Disconnected`, `Malformed`) come from `wire/WireError.ts`; those of what an
 * answer says are here. What each of them leads to is written in one place, `verdict.ts`.
 */
import { Data } from "effect"
import type { RequestError } from "../wire/WireError.ts"

/** The peer has none of the headers that were asked for, although they lie below its head. */
export class MissingHeaders extends Data.TaggedError("MissingHeaders")<{
  readonly peerId: string
  readonly fromBlock: number
  readonly asked: number
}> {}

/** A header that is not the one asked for: wrong number, broken link, not a header. A lie. */
export class WrongHeader extends Data.TaggedError("WrongHeader")<{
  readonly peerId: string
  readonly blockNumber: number
  readonly what: "number" | "hash" | "parent_hash" | "encoding"
  readonly expected: string
  readonly actual: string
}> {}

/** An answer that ends before the last block that was asked for. No fault: servers cap answers. */
export class Truncated extends Data.TaggedError("Truncated")<{
  readonly peerId: string
  readonly asked: number
  readonly got: number
}> {}

/** Blocks that an answer leaves out although it holds later ones: the peer lacks them. No fault. */
export class Skipped extends Data.TaggedError("Skipped")<{
  readonly peerId: string
  readonly blockNumbers: ReadonlyArray<number>
}> {}

/** No receipts for blocks whose headers say that they have some: the peer does not hold them. */
export class EmptyAnswer extends Data.TaggedError("EmptyAnswer")<{
  readonly peerId: string
  readonly what: "bodies" | "receipts"
  readonly fromBlock: number
  readonly asked: number
}> {}

/**
 * Blocks of which the peer is known not to serve a kind of part, or did not send it, and sent or
 * serves another. No fault: what came waits for who has the rest.
 */
export class PartlyServed extends Data.TaggedError("PartlyServed")<{
  readonly peerId: string
  /** What is missing, the first of it. */
  readonly what: "bodies" | "receipts"
  readonly blockNumbers: ReadonlyArray<number>
}> {}

/** Receipts that belong to none of the blocks that were asked for. A lie. */
export class WrongReceipts extends Data.TaggedError("WrongReceipts")<{
  readonly peerId: string
  readonly blockNumber: number
  readonly expected: string
  readonly actual: string
}> {}

/** A body, or a part of one, that is not the one its header commits to. A lie. */
export class WrongBody extends Data.TaggedError("WrongBody")<{
  readonly peerId: string
  readonly blockNumber: number
  readonly what: string
  readonly expected: string
  readonly actual: string
}> {}

/** Everything that can fail a block while it is fetched. */
export type FetchError =
  | RequestError
  | MissingHeaders
  | WrongHeader
  | Truncated
  | Skipped
  | EmptyAnswer
  | PartlyServed
  | WrongReceipts
  | WrongBody
