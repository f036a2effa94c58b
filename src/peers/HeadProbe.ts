/**
 * Measures the head of a peer: only a header in hand counts, announced numbers are where the
 * search starts (`headSearch.ts`).
 */
import { Effect } from "effect"
import { equalBytes, toHex0x } from "../domain/hex.ts"
import { readHeader } from "../domain/header.ts"
import { keccak256 } from "../domain/keccak.ts"
import { MissingHeaders, WrongHeader } from "../fetch/FetchError.ts"
import type { Session } from "../wire/Session.ts"
import type { RequestError } from "../wire/WireError.ts"
import { afterAnswer, nextQuestion, startHeadSearch } from "./headSearch.ts"

/** What the measurement needs of a session. */
export type HeadSubject = Pick<Session, "peerId" | "status" | "announcedRange" | "getBlockHeaders">

/** Why no head was measured. */
export type HeadProbeError = RequestError | WrongHeader | MissingHeaders

/**
 * The highest block of which the peer serves the header. Fails with `MissingHeaders` when it serves
 * none, not even genesis, and with `WrongHeader` when it sends another block than asked.
 */
export const measureHead = Effect.fn("HeadProbe.measureHead")(function* (
  peer: HeadSubject,
  timeoutMs: number,
): Effect.fn.Return<number, HeadProbeError> {
  let search = startHeadSearch(yield* announcedHead(peer, timeoutMs))
  for (;;) {
    const block = nextQuestion(search)
    if (block === undefined) break
    const header = yield* headerAt(peer, block, timeoutMs)
    search = afterAnswer(search, block, header !== undefined)
  }
  if (search.served < 0) {
    return yield* new MissingHeaders({ peerId: peer.peerId, fromBlock: 0, asked: 1 })
  }
  return search.served
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
  return Effect.map(headerAt(peer, status.bestHash, timeoutMs), (header) => header?.number ?? 0)
}

/** The header of a block, by number or hash; undefined when the peer answers with none. */
const headerAt = (
  peer: HeadSubject,
  start: number | Uint8Array,
  timeoutMs: number,
): Effect.Effect<{ readonly number: number } | undefined, HeadProbeError> =>
  peer.getBlockHeaders({ start, limit: 1, skip: 0, reverse: false }, timeoutMs).pipe(
    Effect.flatMap(({ headers }) => {
      const bytes = headers[0]
      if (bytes === undefined) return Effect.succeed(undefined)
      return Effect.try({
        try: () => readHeader(bytes),
        catch: (error) =>
          new WrongHeader({
            peerId: peer.peerId,
            blockNumber: typeof start === "number" ? start : 0,
            what: "encoding",
            expected: "a header",
            actual: error instanceof Error ? error.message : String(error),
          }),
      }).pipe(
        Effect.filterOrFail(
          (header) =>
            typeof start === "number"
              ? header.number === start
              : equalBytes(keccak256(bytes), start),
          (header) =>
            new WrongHeader({
              peerId: peer.peerId,
              blockNumber: header.number,
              what: "number",
              expected: typeof start === "number" ? String(start) : toHex0x(start),
              actual: String(header.number),
            }),
        ),
      )
    }),
  )
