/**
 * The last stage of ingest: checked blocks go into the {@link Store}. In a file of its own: a probe
 * loads nothing of a store.
 *
 * A block is done when it is committed. One that the store refuses goes back to the scheduler; so
 * do blocks of earlier writes that had to go because a better-founded neighbour showed them to be
 * wrong. Who had sent what is proven wrong is blamed. Where the head is followed, blocks near it go
 * to the {@link Landing} in place of the store's open transaction.
 */
import { Effect, Layer, Option, Stream } from "effect"
import { toHex0x } from "../domain/hex.ts"
import { ByteGate } from "../fetch/ByteGate.ts"
import { type FetchError, WrongBody, WrongHeader } from "../fetch/FetchError.ts"
import { IngestStats } from "../observe/IngestStats.ts"
import { type ProcessedBatch, type ProcessedBlock, Processor } from "../process/Processor.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import { type Contest, contestsOf } from "./contests.ts"
import { Landing } from "./Landing.ts"
import { Senders } from "./senders.ts"
import { Store } from "./Store.ts"
import type { Refusal, WriteResult } from "./storeProtocol.ts"
import type { StoreError } from "./StoreError.ts"
import { Writer } from "./Writer.ts"
import type { Removal } from "./segments.ts"

/**
 * Writes under way at once. A transaction is filled by many; their bytes are bounded by the
 * {@link ByteGate}, this bounds the bookkeeping.
 */
const WRITES_AT_ONCE = 256

/** Blocks of which it is remembered who had sent them although they were never committed. */
const DISPLACED_MAX = 4_096

/** See the module. */
export const layerStoreWriter: Layer.Layer<
  Writer,
  never,
  Store | Processor | Scheduler | ByteGate | IngestStats
> = Layer.effect(
  Writer,
  Effect.gen(function* () {
    const processor = yield* Processor
    const write = yield* makeWrite
    return {
      run: processor.batches.pipe(
        Stream.mapEffect(write, { concurrency: WRITES_AT_ONCE, unordered: true }),
        Stream.runDrain,
      ),
    }
  }),
)

const makeWrite = Effect.gen(function* () {
  const store = yield* Store
  const scheduler = yield* Scheduler
  const gate = yield* ByteGate
  const stats = yield* IngestStats
  const landing = Option.getOrUndefined(yield* Effect.serviceOption(Landing))
  const senders = new Senders()
  /** Who had sent what went before it was committed, of late: bounded by {@link DISPLACED_MAX}. */
  const displaced = new Map<number, string>()
  let underWay = 0

  const remove = ({ from, to, proven }: Removal): Effect.Effect<void> =>
    Effect.forEach(
      senders.take(from, to),
      ({ blocks, peerId }) =>
        scheduler.revoked(
          blocks,
          peerId === undefined || !proven ? undefined : brokenLink(peerId, to),
        ),
      { discard: true },
    )

  const refuse = (block: ProcessedBlock, refusal: Refusal): Effect.Effect<void> => {
    const { blockNumber } = block
    const { peerId } = block.senders.header
    if (refusal.proven) return scheduler.rejected(blockNumber, errorOf(block, refusal))
    displaced.delete(blockNumber)
    displaced.set(blockNumber, peerId)
    for (const oldest of displaced.keys()) {
      if (displaced.size <= DISPLACED_MAX) break
      displaced.delete(oldest)
    }
    // It only goes back: who is contradicted, and by whom, says the contest that it went for.
    return scheduler.contested(blockNumber, peerId, [])
  }

  /** Tells of a block that contradicts others, and nobody knows who is right. */
  const contest = ({ blockNumber, others }: Contest, peerId: string): Effect.Effect<void> =>
    scheduler.contested(
      blockNumber,
      peerId,
      others.map(({ blockNumber: block, putOut }) => {
        if (!putOut) return { block, putOut, peerId: senders.of(block) }
        return {
          block,
          putOut,
          peerId: senders.take(block, block)[0]?.peerId ?? displaced.get(block),
        }
      }),
    )

  // One at a time: what a later write removed must not be told before an earlier write is done.
  const turns = yield* Effect.makeSemaphore(1)
  const settle = Effect.fnUntraced(function* (batch: ProcessedBatch, result: WriteResult) {
    stats.wrote(result)
    const { contests, removed } = contestsOf(result.refused, result.removed)
    yield* Effect.forEach(removed, remove, { discard: true })
    const refused = new Map(result.refused.map((refusal) => [refusal.blockNumber, refusal]))
    const contesting = new Map(contests.map((contest) => [contest.blockNumber, contest]))
    const senderOf = new Map<number, string>()
    for (const block of batch.blocks) {
      const { blockNumber } = block
      const { peerId } = block.senders.header
      gate.release(block.heldBytes)
      const refusal = refused.get(blockNumber)
      if (contesting.has(blockNumber)) senderOf.set(blockNumber, peerId)
      else if (refusal !== undefined) yield* refuse(block, refusal)
      else {
        displaced.delete(blockNumber)
        senders.add(blockNumber, peerId)
        scheduler.done(block)
      }
    }
    // Last: what a block of this write contradicts may be another block of it.
    for (const [blockNumber, peerId] of senderOf) {
      yield* contest(contesting.get(blockNumber)!, peerId)
    }
  })

  /** When nothing more is on its way, waiting for a fuller transaction is waiting for nothing. */
  const flushWhenLast = Effect.flatMap(scheduler.progress, ({ pending, assigned, delivered }) =>
    pending + assigned === 0 && delivered <= underWay ? store.flush : Effect.void,
  )

  /** Lets those of a batch land that are to; gives what is left of it to write. */
  const land = Effect.fnUntraced(function* (batch: ProcessedBatch) {
    const { kept, blocks } = batch
    const lands = kept?.payloads.map((payload) => landing?.takes(payload) === true) ?? []
    if (kept === undefined || !lands.includes(true)) return batch
    for (const [index, block] of blocks.entries()) {
      if (lands[index] === true) yield* landing!.land(block, kept.payloads[index]!)
    }
    // The buffers are under what has landed, too, and were copied from there: no need to keep them.
    const payloads = kept.payloads.filter((_, index) => lands[index] === false)
    const rest: ProcessedBatch = {
      blocks: blocks.filter((_, index) => lands[index] === false),
      kept: payloads.length === 0 ? undefined : { ...kept, payloads },
    }
    return rest
  })

  return (whole: ProcessedBatch): Effect.Effect<void, StoreError> =>
    Effect.gen(function* () {
      const batch = landing === undefined ? whole : yield* land(whole)
      const { kept, blocks } = batch
      if (kept === undefined) return
      underWay += blocks.length
      const written = yield* Effect.fork(store.write(kept.payloads, kept.transfer))
      yield* Effect.yieldNow()
      yield* flushWhenLast
      const result = yield* written
      underWay -= blocks.length
      yield* turns.withPermits(1)(settle(batch, result))
    })
})

/**
 * A refusal as the error that the verdict knows. Which chain a block is of is its header's matter;
 * what cannot be read once header and receipts have their form is the body.
 */
const errorOf = ({ blockNumber, senders }: ProcessedBlock, refusal: Refusal): FetchError =>
  refusal.reason === "unreadable"
    ? new WrongBody({
        peerId: senders.body.peerId,
        blockNumber,
        what: "encoding",
        expected: "a body that can be read",
        actual: "another",
      })
    : refusedHeader(senders.header.peerId, blockNumber, refusal)

const refusedHeader = (peerId: string, blockNumber: number, refusal: Refusal): WrongHeader =>
  new WrongHeader({
    peerId,
    blockNumber,
    what: refusal.reason === "trusted_hash" ? "hash" : "parent_hash",
    expected: refusal.expected === undefined ? refusal.reason : toHex0x(refusal.expected),
    actual: refusal.actual === undefined ? "" : toHex0x(refusal.actual),
  })

const brokenLink = (peerId: string, blockNumber: number): WrongHeader =>
  new WrongHeader({
    peerId,
    blockNumber,
    what: "parent_hash",
    expected: "a link to the anchored block above",
    actual: "another hash",
  })
