/**
 * Measures the head of a peer: only a header in hand counts, announced numbers are where the
 * search starts (`headSearch.ts`).
 */
import { Effect } from "effect"
import { equalBytes, toHex0x } from "../domain/hex.ts"
import { type Header, readHeader } from "../domain/header.ts"
import { keccak256 } from "../domain/keccak.ts"
import { MissingHeaders, WrongHeader } from "../fetch/FetchError.ts"
import type { Session } from "../wire/Session.ts"
import type { RequestError } from "../wire/WireError.ts"
import { afterAnswer, nextQuestion, startHeadSearch } from "./headSearch.ts"

/** What the measurement needs of a session. */
export type HeadSubject = Pick<Session, "peerId" | "status" | "announcedRange" | "getBlockHeaders">

/** Why no head was measured. */
export type HeadProbeError = RequestError | WrongHeader | MissingHeaders

/** A header that a peer sent, and its hash. */
export interface HeaderInHand {
  readonly header: Header
  /** Its RLP. */
  readonly bytes: Uint8Array
  /** 32 bytes. */
  readonly hash: Uint8Array
}

/**
 * The highest block of which the peer serves the header; `hint` replaces what it announces as the
 * start of the search. Fails with `MissingHeaders` when it serves none, not even genesis, and with
 * `WrongHeader` when it sends another block than asked.
 */
export const measureHead = Effect.fn("HeadProbe.measureHead")(function* (
  peer: HeadSubject,
  timeoutMs: number,
  hint?: number,
): Effect.fn.Return<HeaderInHand, HeadProbeError> {
  return yield* searchHead(peer, timeoutMs, hint ?? (yield* announcedHead(peer, timeoutMs)))
})

/** As {@link measureHead}, from a block on that the caller knows of. */
export const searchHead = Effect.fnUntraced(function* (
  peer: Pick<HeadSubject, "peerId" | "getBlockHeaders">,
  timeoutMs: number,
  hint: number,
): Effect.fn.Return<HeaderInHand, HeadProbeError> {
  let search = startHeadSearch(hint)
  let highest: HeaderInHand | undefined
  for (;;) {
    const block = nextQuestion(search)
    if (block === undefined) break
    const got = yield* headerAt(peer, block, timeoutMs)
    if (got !== undefined && block >= search.served) highest = got
    search = afterAnswer(search, block, got !== undefined)
  }
  return highest ?? (yield* new MissingHeaders({ peerId: peer.peerId, fromBlock: 0, asked: 1 }))
})

/** Where to start: eth/69 and later name a number, eth/68 a hash whose header tells it. */
const announcedHead = (
  peer: HeadSubject,
  timeoutMs: number,
): Effect.Effect<number, HeadProbeError> => {
  const { status } = peer
  if (status.version !== 68) {
    return Effect.succeed(peer.announcedRange()?.latestBlock ?? status.latestBlock)
  }
  return Effect.map(headerAt(peer, status.bestHash, timeoutMs), (got) => got?.header.number ?? 0)
}

/** The header of a block, by number or hash; undefined when the peer answers with none. */
const headerAt = (
  peer: Pick<HeadSubject, "peerId" | "getBlockHeaders">,
  start: number | Uint8Array,
  timeoutMs: number,
): Effect.Effect<HeaderInHand | undefined, HeadProbeError> =>
  Effect.map(headersFrom(peer, start, 1, timeoutMs), ([first]) => first)

/** Up to `limit` headers from a block on, upwards; their numbers, or the hash, are as asked. */
export const headersFrom = (
  peer: Pick<Session, "peerId" | "getBlockHeaders">,
  start: number | Uint8Array,
  limit: number,
  timeoutMs: number,
): Effect.Effect<ReadonlyArray<HeaderInHand>, RequestError | WrongHeader> =>
  peer
    .getBlockHeaders({ start, limit, skip: 0, reverse: false }, timeoutMs)
    .pipe(
      Effect.flatMap(({ headers }) =>
        Effect.forEach(headers, (bytes, index) =>
          inHand(peer.peerId, bytes, typeof start === "number" ? start + index : start),
        ),
      ),
    )

const inHand = (
  peerId: string,
  bytes: Uint8Array,
  wanted: number | Uint8Array,
): Effect.Effect<HeaderInHand, WrongHeader> =>
  Effect.try({
    try: (): HeaderInHand => ({ header: readHeader(bytes), bytes, hash: keccak256(bytes) }),
    catch: (error) =>
      new WrongHeader({
        peerId,
        blockNumber: typeof wanted === "number" ? wanted : 0,
        what: "encoding",
        expected: "a header",
        actual: error instanceof Error ? error.message : String(error),
      }),
  }).pipe(
    Effect.filterOrFail(
      ({ header, hash }) =>
        typeof wanted === "number" ? header.number === wanted : equalBytes(hash, wanted),
      ({ header }) =>
        new WrongHeader({
          peerId,
          blockNumber: header.number,
          what: "number",
          expected: typeof wanted === "number" ? String(wanted) : toHex0x(wanted),
          actual: String(header.number),
        }),
    ),
  )
