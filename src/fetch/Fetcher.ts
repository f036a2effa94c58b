/**
 * Batches in, blocks out. For each assignment of the scheduler: the headers in one rising request,
 * checked and hashed; then the receipts, in requests of `receiptsPerRequest` blocks; each block is
 * handed on as soon as it is whole. What fails goes back to the scheduler, block by block, with
 * the tagged error.
 *
 * In: {@link Scheduler} assignments. Out: a stream of {@link FetchedBlock} from a bounded queue; a
 * block that leaves here was accepted by the scheduler as delivered, and holds its bytes of the
 * {@link ByteGate} until the last stage gives them back.
 *
 * Invariants:
 * - bytes are reserved before they are asked for;
 * - every block of a batch is delivered or reported as failed before the batch ends;
 * - blocks without receipts (empty receipts root) cost no request.
 */
import { Clock, Context, Effect, Layer, Mailbox, Stream } from "effect"
import { equalBytes } from "../domain/hex.ts"
import { EMPTY_TRIE_ROOT } from "../domain/header.ts"
import type { FetchedBlock } from "../domain/fetchedBlock.ts"
import { Stats } from "../observe/Stats.ts"
import { type Assignment, Scheduler } from "../scheduler/Scheduler.ts"
import { Settings } from "../Settings.ts"
import { ByteGate } from "./ByteGate.ts"
import { type HashedHeader, checkHeaders } from "./checkHeaders.ts"
import { MissingHeaders, Truncated, WrongHeader } from "./FetchError.ts"
import { makeReceiptsFetch } from "./ReceiptsFetch.ts"

/** See the module. */
export interface FetcherShape {
  /** Ends when the scheduler has no more assignments and all batches are through. */
  readonly blocks: Stream.Stream<FetchedBlock>
}

/** An empty list of receipts. */
const NO_RECEIPTS_LIST = Uint8Array.of(0xc0)

/**
 * Receipts requests of one batch under way at once. Two: the next one travels while the peer
 * works on the first, and a batch of the default size is two requests.
 */
const REQUESTS_AT_ONCE = 2

/** See {@link FetcherShape}. */
export class Fetcher extends Context.Tag("annals/Fetcher")<Fetcher, FetcherShape>() {
  /** Headers and receipts, no bodies: what a probe asks for. */
  static readonly layerReceipts: Layer.Layer<
    Fetcher,
    never,
    Scheduler | ByteGate | Settings | Stats
  > = Layer.scoped(
    Fetcher,
    Effect.gen(function* () {
      const settings = yield* Settings
      const scheduler = yield* Scheduler
      const out = yield* Mailbox.make<FetchedBlock>({ capacity: settings.stageQueueBlocks })
      const fetchBatch = yield* makeBatchFetch(out)
      yield* scheduler.assignments.pipe(
        // A scheduler never assigns more batches than the connected peers have slots.
        Stream.mapEffect(fetchBatch, { concurrency: "unbounded", unordered: true }),
        Stream.runDrain,
        Effect.ensuring(out.end),
        Effect.forkScoped,
      )
      return { blocks: Mailbox.toStream(out) }
    }),
  )
}

/** Gives the effect that fetches one batch; it never fails, the scheduler hears of failures. */
const makeBatchFetch = Effect.fnUntraced(function* (out: Mailbox.Mailbox<FetchedBlock>) {
  const settings = yield* Settings
  const scheduler = yield* Scheduler
  const stats = yield* Stats
  const gate = yield* ByteGate

  /** Hands a block on, or gives its bytes back when the scheduler no longer wants it from here. */
  const deliver = Effect.fnUntraced(function* (block: FetchedBlock) {
    const wanted = yield* scheduler.delivered(block.batchId, block.blockNumber)
    if (wanted) yield* out.offer(block)
    else gate.release(block.heldBytes)
  })

  const fetchReceipts = yield* makeReceiptsFetch(deliver)

  const fetchHeaders = Effect.fn("Fetcher.headers")(function* (assignment: Assignment) {
    const { peer, fromBlock, toBlock } = assignment
    const asked = toBlock - fromBlock + 1
    stats.requests.headers += 1
    const answer = yield* peer.getBlockHeaders(
      { start: fromBlock, limit: asked, skip: 0, reverse: false },
      settings.requestTimeoutMs,
    )
    stats.answered("headers", answer.elapsedMs, answer.bytes)
    const { peerId } = peer
    if (answer.headers.length === 0) {
      return yield* new MissingHeaders({ peerId, fromBlock, asked })
    }
    const checked = checkHeaders(fromBlock, answer.headers)
    if ("what" in checked) return yield* new WrongHeader({ peerId, ...checked })
    return checked
  })

  const deliverEmpty = (assignment: Assignment, block: HashedHeader, startedMs: number) =>
    Effect.flatMap(Clock.currentTimeMillis, (nowMs) =>
      deliver({
        batchId: assignment.batchId,
        blockNumber: block.header.number,
        hash: block.hash,
        header: block.bytes,
        body: undefined,
        receipts: NO_RECEIPTS_LIST,
        receiptsForm: 69,
        peerId: assignment.peer.peerId,
        ethVersion: assignment.peer.ethVersion,
        fetchMs: nowMs - startedMs,
        heldBytes: 0,
      }),
    )

  const fetchParts = Effect.fnUntraced(function* (
    assignment: Assignment,
    headers: ReadonlyArray<HashedHeader>,
    startedMs: number,
  ) {
    const withReceipts: Array<HashedHeader> = []
    for (const block of headers) {
      if (equalBytes(block.header.receiptsRoot, EMPTY_TRIE_ROOT)) {
        yield* deliverEmpty(assignment, block, startedMs)
      } else withReceipts.push(block)
    }
    yield* Effect.forEach(
      chunksOf(withReceipts, settings.receiptsPerRequest),
      (blocks) => fetchReceipts({ assignment, blocks, startedMs }),
      { concurrency: REQUESTS_AT_ONCE, discard: true },
    )
  })

  return Effect.fnUntraced(function* (assignment: Assignment) {
    const { batchId, fromBlock, toBlock, peer } = assignment
    const asked = toBlock - fromBlock + 1
    const reservedBytes = asked * settings.headerBytes
    const startedMs = yield* Clock.currentTimeMillis
    yield* gate.reserve(reservedBytes)
    yield* fetchHeaders(assignment).pipe(
      Effect.flatMap(
        Effect.fnUntraced(function* (headers) {
          const got = headers.length
          if (got < asked) {
            const cut = new Truncated({ peerId: peer.peerId, asked, got })
            yield* scheduler.failed(batchId, numbers(fromBlock + got, toBlock), cut)
          }
          yield* fetchParts(assignment, headers, startedMs)
        }),
      ),
      Effect.catchAll((error) => scheduler.failed(batchId, numbers(fromBlock, toBlock), error)),
      Effect.ensuring(Effect.sync(() => gate.release(reservedBytes))),
    )
    const endedMs = yield* Clock.currentTimeMillis
    stats.batchEnded(peer.peerId, endedMs - startedMs)
    yield* scheduler.batchEnded(batchId)
  })
})

/** The block numbers from `from` to `to`, inclusive. */
const numbers = (from: number, to: number): ReadonlyArray<number> =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index)

/** `items` cut into pieces of `size`, the rest in the last one. */
const chunksOf = <A>(items: ReadonlyArray<A>, size: number): ReadonlyArray<ReadonlyArray<A>> => {
  const chunks: Array<ReadonlyArray<A>> = []
  for (let at = 0; at < items.length; at += size) chunks.push(items.slice(at, at + size))
  return chunks
}
