/**
 * Measures from which block on a peer serves a kind of data: only data in hand counts, announced
 * numbers are where the search starts (`floorSearch.ts`).
 */
import { Effect } from "effect"
import { equalBytes } from "../domain/hex.ts"
import { EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT, type Header } from "../domain/header.ts"
import type { WrongHeader } from "../fetch/FetchError.ts"
import type { Session } from "../wire/Session.ts"
import type { RequestError, RequestKind } from "../wire/WireError.ts"
import { afterFloorAnswer, nextFloorQuestion, startFloorSearch } from "./floorSearch.ts"
import { type HeaderInHand, headersFrom } from "./HeadProbe.ts"

/** What the measurement needs of a session. */
export type FloorSubject = Pick<
  Session,
  "peerId" | "getBlockHeaders" | "getBlockBodies" | "getReceipts"
>

/** What is looked for, and what is known before. */
export interface FloorQuestion {
  readonly kind: RequestKind
  /** The peer's head. */
  readonly head: number
  /** A block that did not come; -1 where none is known. */
  readonly missing: number
  /** Where the floor is thought to be. */
  readonly hint: number
}

/**
 * Blocks that are looked at for one that has something of the kind. The chain's first 46,000 blocks
 * have no transaction; where none of these has, the headers are taken for an answer.
 */
const WINDOW_BLOCKS = 8

/** What some nodes send for a block that they do not hold, in its place (Nethermind). */
const LONGEST_EMPTY_ITEM = 4

/**
 * The lowest block of which the peer serves the kind; undefined when it serves it of none, not even
 * of its head.
 */
export const measureFloor = Effect.fn("FloorProbe.measureFloor")(function* (
  peer: FloorSubject,
  { kind, head, missing, hint }: FloorQuestion,
  timeoutMs: number,
): Effect.fn.Return<number | undefined, RequestError | WrongHeader> {
  let search = startFloorSearch(head, missing, hint)
  for (;;) {
    const block = nextFloorQuestion(search)
    if (block === undefined) return search.served
    search = afterFloorAnswer(search, block, yield* comes(peer, kind, block, timeoutMs))
  }
})

/** Whether the peer serves the kind at a block, or at the next above it that has any of it. */
const comes = Effect.fnUntraced(function* (
  peer: FloorSubject,
  kind: RequestKind,
  block: number,
  timeoutMs: number,
) {
  const headers = yield* headersFrom(peer, block, WINDOW_BLOCKS, timeoutMs)
  if (headers.length === 0) return false
  if (kind === "headers") return true
  const full = headers.find(({ header }) => hasSome(kind, header))
  if (full === undefined) return true
  const [item] = yield* itemsOf(peer, kind, full, timeoutMs)
  return item !== undefined && item.length > LONGEST_EMPTY_ITEM
})

const itemsOf = (
  peer: FloorSubject,
  kind: Exclude<RequestKind, "headers">,
  { hash }: HeaderInHand,
  timeoutMs: number,
): Effect.Effect<ReadonlyArray<Uint8Array>, RequestError> =>
  kind === "bodies"
    ? Effect.map(peer.getBlockBodies([hash], timeoutMs), ({ bodies }) => bodies)
    : Effect.map(peer.getReceipts([hash], 0, timeoutMs), ({ lists }) => lists)

/** Whether a block has anything of the kind: what is empty by its root proves nothing. */
const hasSome = (kind: Exclude<RequestKind, "headers">, header: Header): boolean =>
  kind === "receipts"
    ? !equalBytes(header.receiptsRoot, EMPTY_TRIE_ROOT)
    : !equalBytes(header.transactionsRoot, EMPTY_TRIE_ROOT) ||
      !equalBytes(header.ommersHash, EMPTY_OMMERS_HASH)
