/**
 * Asks every peer that joins the pool what it really serves: headers, bodies and receipts at the
 * depths of `surveyTable.ts` below its head, and how long its answers take.
 *
 *     joined ─▶ headers at each depth, one request after the other (their times: the round trip)
 *            ─▶ a body and receipts at each depth, two requests at once ─▶ surveyed
 *
 * In: the pool's events. Out: what is known of each peer, at any time.
 *
 * How a part is tried at a depth: the headers of the block there and of those below it,
 * {@link NEARBY_BLOCKS} in all, are asked for. `headers` is "yes" when the block's own header came
 * and all are linked. Many blocks are empty of a part; so the nearest one of these that is not is
 * asked for, and "yes" means that what came has the roots of its header. Empty, wrong, unreadable
 * or no answers are "no". "nothing": the chain is not that deep, or all of these blocks are empty
 * of the part. Without a header nothing can be asked for, so bodies and receipts stay unknown then.
 *
 * Invariants:
 * - a peer is asked at most twice at once, {@link SURVEYS_AT_ONCE} peers at a time, and each thing
 *   once; when it leaves in between and comes back, what is still unknown is asked for;
 * - nothing that a peer does or says fails a survey;
 * - at most {@link MOST_SURVEYED} peers are kept; later ones are not asked.
 */
import { Context, Effect, FiberSet, Layer, Stream } from "effect"
import { bodyRoots } from "../domain/bodyRoots.ts"
import { EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT, type Header } from "../domain/header.ts"
import { equalBytes } from "../domain/hex.ts"
import { countReceipts } from "../domain/receiptList.ts"
import { receiptsRoot } from "../domain/receipts.ts"
import { concatBytes } from "../domain/rlp.ts"
import { checkHeaders, type HashedHeader } from "../fetch/checkHeaders.ts"
import { makePlaces } from "../Places.ts"
import { Settings } from "../Settings.ts"
import type { ReceiptsAnswer } from "../wire/Session.ts"
import type { Disconnected, RequestError } from "../wire/WireError.ts"
import type { Peer } from "./Peer.ts"
import { PeerPool } from "./PeerPool.ts"
import {
  median,
  type PeerSurvey,
  type Served,
  surveyDepths,
  type SurveyPart,
  surveyParts,
} from "./surveyTable.ts"

/** Headers asked for at a depth: so far below it may the block lie whose parts are asked for. */
export const NEARBY_BLOCKS = 8
/** Peers asked at the same time: two answers each, of 2 MiB and mostly far less. */
export const SURVEYS_AT_ONCE = 64
/** Peers kept, about 2 kB each: a survey may run for days. */
export const MOST_SURVEYED = 10_000

/** See the module. */
export interface SurveyShape {
  /** Every peer that ever joined, in the order of joining, with what is known by now. */
  readonly peers: Effect.Effect<ReadonlyArray<PeerSurvey>>
  /** Whether every peer that is in the pool now has been asked everything. */
  readonly allAsked: Effect.Effect<boolean>
}

/** See {@link SurveyShape}. */
export class Survey extends Context.Tag("annals/Survey")<Survey, SurveyShape>() {
  /** Takes the pool's events; asks as long as the Layer lives. */
  static readonly layer: Layer.Layer<Survey, never, PeerPool | Settings> = Layer.scoped(
    Survey,
    Effect.gen(function* () {
      const pool = yield* PeerPool
      const { requestTimeoutMs } = yield* Settings
      const places = makePlaces(SURVEYS_AT_ONCE)
      const fibers = yield* FiberSet.make()
      const rows = new Map<string, SurveyRow>()

      /** Whose session's survey is over; weak, so that no session outlives its end here. */
      const asked = new WeakSet<Peer>()

      const joined = (peer: Peer, head: number) =>
        Effect.suspend(() => {
          const row = rowOf(rows, peer, head)
          const asking =
            row === undefined
              ? Effect.void
              : places.within(askEverything(peer, row, head, requestTimeoutMs))
          const over = Effect.sync(() => {
            row?.close(peer)
            asked.add(peer)
          })
          return FiberSet.run(fibers, Effect.ensuring(asking, over))
        })

      yield* pool.events.pipe(
        Stream.runForEach((event) =>
          event._tag === "Joined" ? joined(event.peer, event.serves.headers?.to ?? 0) : Effect.void,
        ),
        Effect.forkScoped,
      )
      return {
        peers: Effect.sync(() => [...rows.values()].map((row) => row.survey())),
        allAsked: Effect.map(pool.connected, (peers) => peers.every(({ peer }) => asked.has(peer))),
      }
    }),
  )
}

/** The row of a peer that joined, opened for its session; undefined when there is no room for it. */
const rowOf = (rows: Map<string, SurveyRow>, peer: Peer, head: number): SurveyRow | undefined => {
  const known = rows.get(peer.peerId)
  if (known !== undefined) {
    known.open(peer, head)
    return known
  }
  if (rows.size >= MOST_SURVEYED) return undefined
  const row = new SurveyRow(peer, head)
  rows.set(peer.peerId, row)
  return row
}

type Facts = Omit<PeerSurvey, "roundTripMs" | "serves">

/** What is known of one peer, through all of its sessions. */
class SurveyRow {
  readonly headerTimesMs: Array<number> = []
  readonly #serves: Record<SurveyPart, Map<number, Served>> = {
    headers: new Map(),
    bodies: new Map(),
    receipts: new Map(),
  }
  /** Who is being asked, or waits for it. */
  #peer: Peer | undefined
  #facts: Facts

  constructor(peer: Peer, head: number) {
    this.#peer = peer
    this.#facts = factsOf(peer, head)
  }

  /** A session begins. */
  open(peer: Peer, head: number): void {
    this.#peer = peer
    this.#facts = factsOf(peer, head)
  }

  /** The survey in the session of `peer` is over; the session is let go. */
  close(peer: Peer): void {
    if (this.#peer !== peer) return
    this.#facts = factsOf(peer, this.#facts.head)
    this.#peer = undefined
  }

  found(part: SurveyPart, depth: number, served: Served): void {
    this.#serves[part].set(depth, served)
  }

  knows(part: SurveyPart, depth: number): boolean {
    return this.#serves[part].has(depth)
  }

  survey(): PeerSurvey {
    const { bodies, headers, receipts } = this.#serves
    return {
      ...this.#facts,
      roundTripMs: median(this.headerTimesMs),
      serves: {
        headers: new Map(headers),
        bodies: new Map(bodies),
        receipts: new Map(receipts),
      },
    }
  }
}

/** What the peer says of itself now; the range that it announces may change while it is asked. */
const factsOf = (peer: Peer, head: number): Facts => {
  const range = peer.announcedRange()
  return {
    peerId: peer.peerId,
    client: peer.client,
    ethVersion: peer.ethVersion,
    inbound: peer.inbound,
    announced: range && { from: range.earliestBlock, to: range.latestBlock },
    head,
  }
}

/** Asks what is not known yet, until all is or the session ends. */
const askEverything = (
  peer: Peer,
  row: SurveyRow,
  head: number,
  timeoutMs: number,
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const found: Array<readonly [depth: number, headers: ReadonlyArray<HashedHeader>]> = []
    for (const depth of surveyDepths) {
      if (depth > head) notSoDeep(row, depth)
      else if (!partsKnown(row, depth)) {
        found.push([depth, yield* askHeaders(peer, row, head - depth, depth, timeoutMs)])
      }
    }
    for (const [depth, headers] of found) {
      if (headers.length === 0) continue
      const asked = partQuestions(peer, headers, timeoutMs).map(({ part, answer }) =>
        row.knows(part, depth)
          ? Effect.void
          : Effect.map(answer, (served) => row.found(part, depth, served)),
      )
      yield* Effect.all(asked, { concurrency: "unbounded", discard: true })
    }
  }).pipe(Effect.catchTag("Disconnected", () => Effect.void))

const notSoDeep = (row: SurveyRow, depth: number): void => {
  for (const part of surveyParts) row.found(part, depth, "nothing")
}

/** Headers are asked for again where a part is unknown: its block's hash is needed. */
const partsKnown = (row: SurveyRow, depth: number): boolean =>
  surveyParts.every((part) => row.knows(part, depth))

/** The headers of `blockNumber` and the blocks below it, falling; none when they are not served. */
const askHeaders = (
  peer: Peer,
  row: SurveyRow,
  blockNumber: number,
  depth: number,
  timeoutMs: number,
): Effect.Effect<ReadonlyArray<HashedHeader>, Disconnected> => {
  const limit = Math.min(NEARBY_BLOCKS, blockNumber + 1)
  return peer
    .getBlockHeaders({ start: blockNumber, limit, skip: 0, reverse: true }, timeoutMs)
    .pipe(
      Effect.map(({ headers: items, elapsedMs }) => {
        row.headerTimesMs.push(elapsedMs)
        const rising = checkHeaders(blockNumber + 1 - items.length, items.toReversed())
        return "what" in rising ? [] : rising.toReversed()
      }),
      unlessGone<ReadonlyArray<HashedHeader>>([]),
      Effect.tap((headers) =>
        Effect.sync(() => row.found("headers", depth, headers.length > 0 ? "yes" : "no")),
      ),
    )
}

interface PartQuestion {
  readonly part: "bodies" | "receipts"
  readonly answer: Effect.Effect<Served, Disconnected>
}

/** What to ask for at a depth of which `headers` came, the nearest first. */
const partQuestions = (
  peer: Peer,
  headers: ReadonlyArray<HashedHeader>,
  timeoutMs: number,
): ReadonlyArray<PartQuestion> => {
  const withBody = headers.find(({ header }) => hasBody(header))
  const withReceipts = headers.find(
    ({ header }) => !equalBytes(header.receiptsRoot, EMPTY_TRIE_ROOT),
  )
  return [
    { part: "bodies", answer: withBody ? askBody(peer, withBody, timeoutMs) : nothing },
    {
      part: "receipts",
      answer: withReceipts ? askReceipts(peer, withReceipts, timeoutMs) : nothing,
    },
  ]
}

const nothing: Effect.Effect<Served> = Effect.succeed("nothing")

const hasBody = ({ ommersHash, transactionsRoot, withdrawalsRoot }: Header): boolean =>
  !equalBytes(transactionsRoot, EMPTY_TRIE_ROOT) ||
  !equalBytes(ommersHash, EMPTY_OMMERS_HASH) ||
  (withdrawalsRoot !== undefined && !equalBytes(withdrawalsRoot, EMPTY_TRIE_ROOT))

const askBody = (
  peer: Peer,
  { hash, header }: HashedHeader,
  timeoutMs: number,
): Effect.Effect<Served, Disconnected> => {
  const { ommersHash, transactionsRoot, withdrawalsRoot } = header
  const roots = [transactionsRoot, ommersHash, ...(withdrawalsRoot ? [withdrawalsRoot] : [])]
  return peer.getBlockBodies([hash], timeoutMs).pipe(
    Effect.map(({ bodies }) =>
      holds(bodies[0], (body) => equalBytes(bodyRoots(body), concatBytes(roots))),
    ),
    unlessGone<Served>("no"),
  )
}

const askReceipts = (
  peer: Peer,
  { hash, header }: HashedHeader,
  timeoutMs: number,
): Effect.Effect<Served, Disconnected> => {
  const form = peer.ethVersion === 68 ? 68 : 69
  // The start of a block too large for one answer (EIP-7975) has no root yet.
  const isRight = (list: Uint8Array, { lastBlockIncomplete }: ReceiptsAnswer): boolean =>
    lastBlockIncomplete
      ? countReceipts(list) > 0
      : equalBytes(receiptsRoot(list, form), header.receiptsRoot)
  return peer.getReceipts([hash], 0, timeoutMs).pipe(
    Effect.map((answer) => holds(answer.lists[0], (list) => isRight(list, answer))),
    unlessGone<Served>("no"),
  )
}

/** Whether an item came and passes its check; one that cannot be read does not. */
const holds = (item: Uint8Array | undefined, check: (item: Uint8Array) => boolean): Served => {
  try {
    return item !== undefined && check(item) ? "yes" : "no"
  } catch {
    return "no"
  }
}

/** No answer, or one against the protocol, means `otherwise`; the end of the session ends the survey. */
const unlessGone =
  <A>(otherwise: A) =>
  (effect: Effect.Effect<A, RequestError>): Effect.Effect<A, Disconnected> =>
    Effect.catchTags(effect, {
      Timeout: () => Effect.succeed(otherwise),
      Malformed: () => Effect.succeed(otherwise),
    })
