/**
 * What the reader of the store is asked and what it answers, as plain data: the same whether it runs
 * in a thread of its own or in the caller's.
 *
 * Requests carry an id; each gets one reply with that id, in the order of the requests, but those
 * that were cancelled. The items of an answer travel as one buffer, which is transferred.
 */
import type { BlockRange } from "../domain/blockRanges.ts"
import type { AnswerLimits, ReceiptsQuery } from "../serving/answers.ts"
import type { HeadersQuery } from "../wire/ethMessages.ts"

/** Byte strings one behind the other. */
export interface PackedItems {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Where each ends. */
  readonly ends: ReadonlyArray<number>
}

/** What can be asked, by its name. */
export interface ReaderCalls {
  /** Opens the store in a directory; the first of all requests. */
  readonly open: { readonly request: string; readonly reply: null }
  readonly headers: {
    readonly request: { readonly query: HeadersQuery; readonly limits: AnswerLimits }
    readonly reply: PackedItems
  }
  readonly bodies: {
    readonly request: {
      readonly hashes: ReadonlyArray<Uint8Array>
      readonly limits: AnswerLimits
    }
    readonly reply: PackedItems
  }
  readonly receipts: {
    readonly request: { readonly query: ReceiptsQuery; readonly limits: AnswerLimits }
    readonly reply: PackedItems
  }
  readonly held: { readonly request: null; readonly reply: ReadonlyArray<BlockRange> }
  readonly close: { readonly request: null; readonly reply: null }
}

/** The name of something that can be asked. */
export type ReaderCallName = keyof ReaderCalls

/** A message to the reader's thread. */
export type ReaderRequest =
  | {
      [Name in ReaderCallName]: {
        readonly id: number
        readonly call: Name
        readonly argument: ReaderCalls[Name]["request"]
      }
    }[ReaderCallName]
  /** Nobody waits for the reply of `id` any longer: it is left out when it has not begun. */
  | { readonly id: number; readonly call: "cancel" }

/** A message from the reader's thread; `reason` is one line. */
export type ReaderReply =
  | {
      readonly id: number
      readonly kind: "done"
      readonly value: ReaderCalls[ReaderCallName]["reply"]
    }
  | { readonly id: number; readonly kind: "failed"; readonly reason: string }

/** Puts byte strings into one buffer of their own. */
export const packItems = (items: ReadonlyArray<Uint8Array>): PackedItems => {
  const bytes = new Uint8Array(items.reduce((sum, item) => sum + item.length, 0))
  const ends: Array<number> = []
  let at = 0
  for (const item of items) {
    bytes.set(item, at)
    at += item.length
    ends.push(at)
  }
  return { bytes, ends }
}

/** The byte strings again, as views. */
export const unpackItems = ({ bytes, ends }: PackedItems): ReadonlyArray<Uint8Array> =>
  ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
