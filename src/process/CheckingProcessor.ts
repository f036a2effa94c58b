/**
 * The process stage of ingest: every block is checked against its header before it is kept. In a
 * file of its own: a probe loads nothing that computes roots.
 *
 * Blocks are packed into one buffer, some at a time, which travels to a checking thread and back,
 * and on to the store, without being copied again.
 *
 * A block that fails goes back to the scheduler; the peer that sent the part that failed is banned,
 * and no other block with a part that it sent until then is looked at.
 */
import { Clock, Duration, Effect, Layer, Mailbox, Stream } from "effect"
import { giveBack } from "../domain/answerMemory.ts"
import type { BlockSenders, FetchedBlock } from "../domain/fetchedBlock.ts"
import { ByteGate } from "../fetch/ByteGate.ts"
import { type FetchError, WrongBody, WrongHeader, WrongReceipts } from "../fetch/FetchError.ts"
import { endOrFail } from "../fetch/EndOrFail.ts"
import { Fetcher } from "../fetch/Fetcher.ts"
import { IngestStats } from "../observe/IngestStats.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import { Settings } from "../Settings.ts"
import { Malformed } from "../wire/WireError.ts"
import type { BlockPayload } from "../write/rows.ts"
import { packBlocks, readPack } from "./blockPack.ts"
import type { CheckFailure, UncheckedBlock } from "./checkBlock.ts"
import type { Check } from "./checks.ts"
import { CheckPool } from "./CheckPool.ts"
import { Packer } from "./packer.ts"
import { type ProcessedBatch, type ProcessedBlock, Processor } from "./Processor.ts"

/** Bytes of blocks that travel together: a message between threads costs as much as some 100 kB. */
const PACK_BYTES = 1024 * 1024
/** How long a pack waits to be filled: little beside the second that a transaction may wait. */
const PACK_WAIT_MS = 25
/** Packs under way at once, in all threads: enough that none waits for the main thread. */
const PACKS_AT_ONCE = 8

/** Checks blocks for what `checks` names. */
export const layerChecking = (
  checks: ReadonlySet<Check>,
): Layer.Layer<
  Processor,
  never,
  Fetcher | Scheduler | ByteGate | Settings | CheckPool | IngestStats
> =>
  Layer.scoped(
    Processor,
    Effect.gen(function* () {
      const settings = yield* Settings
      const fetcher = yield* Fetcher
      const out = yield* Mailbox.make<ProcessedBatch>({ capacity: settings.stageQueueGroups })
      const check = yield* makeCheck(checks, out)
      const packs = yield* packed(fetcher.blocks)
      yield* packs.pipe(
        Stream.mapEffect(check, { concurrency: PACKS_AT_ONCE, unordered: true }),
        Stream.runDrain,
        Effect.onExit((exit) => endOrFail(out, exit)),
        Effect.forkScoped,
      )
      return { batches: Mailbox.toStream(out) }
    }),
  )

/** Collects blocks into packs, each of which is full or has waited. */
const packed = Effect.fnUntraced(function* (blocks: Stream.Stream<ReadonlyArray<FetchedBlock>>) {
  const out = yield* Mailbox.make<ReadonlyArray<FetchedBlock>>({ capacity: PACKS_AT_ONCE })
  const packer = new Packer<FetchedBlock>(PACK_BYTES)
  const clock = yield* Effect.clock
  const offer = (packs: ReadonlyArray<ReadonlyArray<FetchedBlock>>): Effect.Effect<unknown> =>
    packs.length === 0
      ? Effect.void
      : Effect.forEach(packs, (pack) => out.offer(pack), { discard: true })
  yield* blocks.pipe(
    Stream.runForEach((some) =>
      Effect.suspend(() => offer(packer.add(some, clock.unsafeCurrentTimeMillis()))),
    ),
    Effect.zipRight(Effect.suspend(() => offer(packer.take(Infinity)))),
    Effect.onExit((exit) => endOrFail(out, exit)),
    Effect.forkScoped,
  )
  yield* Effect.suspend(() =>
    offer(packer.take(clock.unsafeCurrentTimeMillis() - PACK_WAIT_MS)),
  ).pipe(
    Effect.delay(Duration.millis(PACK_WAIT_MS)),
    Effect.forever,
    Effect.tapErrorCause((cause) => out.failCause(cause)),
    Effect.forkScoped,
  )
  return Mailbox.toStream(out)
})

/** Gives the effect that checks one group of blocks and hands on those that passed. */
const makeCheck = Effect.fnUntraced(function* (
  checks: ReadonlySet<Check>,
  out: Mailbox.Mailbox<ProcessedBatch>,
) {
  const pool = yield* CheckPool
  const scheduler = yield* Scheduler
  const gate = yield* ByteGate
  const stats = yield* IngestStats
  // By the last batch that is not believed any more: after its ban a peer starts over. Bounded by
  // the peers of this run that were banned for a lie.
  const liars = new Map<string, number>()

  /** The newest batch of which a block was seen. */
  let newestBatch = 0

  /** The sender of some part of the block that has lied about another since, if there is one. */
  const liarOf = ({ header, body, receipts }: BlockSenders): string | undefined =>
    [header, body, receipts].find(({ peerId, batchId }) => batchId <= (liars.get(peerId) ?? -1))
      ?.peerId

  /** Gives a block up with a part of who has lied about another: it is not worth the look. */
  const believed = Effect.fnUntraced(function* (blocks: ReadonlyArray<FetchedBlock>) {
    const kept: Array<FetchedBlock> = []
    for (const block of blocks) {
      const liar = liarOf(block.senders)
      if (liar !== undefined) {
        gate.release(block.heldBytes)
        yield* scheduler.withdrawn(block.blockNumber, liar)
      } else kept.push(block)
    }
    return kept
  })

  const refuse = (block: FetchedBlock, failure: CheckFailure): Effect.Effect<void> => {
    stats.refuted += 1
    const { peerId } = block.senders[failure.part]
    liars.set(peerId, Math.max(newestBatch, liars.get(peerId) ?? -1))
    gate.release(block.heldBytes)
    return scheduler.rejected(block.blockNumber, errorOf(peerId, failure))
  }

  return Effect.fnUntraced(function* (group: ReadonlyArray<FetchedBlock>) {
    for (const { batchId } of group) newestBatch = Math.max(newestBatch, batchId)
    const blocks = yield* believed(group)
    if (blocks.length === 0) return
    const startedMs = yield* Clock.currentTimeMillis
    for (const { fetchMs, wholeAtMs } of blocks) {
      stats.stagesMs.fetch += fetchMs
      stats.stagesMs.queue += startedMs - wholeAtMs
    }
    const packing = performance.now()
    const packed = packBlocks(blocks.map(unchecked))
    for (const { body, receipts } of blocks) {
      if (body !== undefined) giveBack(body)
      giveBack(receipts)
    }
    stats.stagesMs.pack += performance.now() - packing
    const { pack, results, cpuMs } = yield* pool.check(packed, checks)
    stats.stagesMs.check += cpuMs
    const payloads: Array<BlockPayload> = []
    const passed: Array<ProcessedBlock> = []
    const checked = readPack(pack)
    for (const [index, result] of results.entries()) {
      const block = blocks[index]!
      if (result._tag === "Failed") yield* refuse(block, result)
      else {
        stats.checked += 1
        const { blockNumber, senders, heldBytes } = block
        payloads.push(checked[index]!)
        passed.push({ blockNumber, senders, heldBytes, receiptCount: result.transactionCount })
      }
    }
    if (passed.length > 0) {
      yield* out.offer({ blocks: passed, kept: { payloads, transfer: [pack] } })
    }
  })
})

const unchecked = (block: FetchedBlock): UncheckedBlock => ({
  blockNumber: block.blockNumber,
  hash: block.hash,
  header: block.header,
  // The plan of ingest fetches bodies; a block without one would be a bug of ours.
  body: block.body!,
  receipts: block.receipts,
  receiptsForm: block.receiptsForm,
})

/** A failed check as the error that the verdict knows, with who sent the part in question. */
const errorOf = (peerId: string, failure: CheckFailure): FetchError => {
  const { blockNumber, part, what, expected, actual } = failure
  if (what === "encoding") {
    return new Malformed({ peerId, what: part === "body" ? "bodies" : "receipts", reason: actual })
  }
  if (part === "body") return new WrongBody({ peerId, blockNumber, what, expected, actual })
  if (part === "receipts") {
    return new WrongReceipts({ peerId, blockNumber, expected: `${what} ${expected}`, actual })
  }
  return new WrongHeader({
    peerId,
    blockNumber,
    what: "hash",
    expected: `${what} ${expected}`,
    actual,
  })
}
