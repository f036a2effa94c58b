/**
 * What is done to a fetched block before it is kept. In a probe it is counted and its bytes are
 * forgotten; in ingest it is checked (`CheckingProcessor.ts`).
 *
 * In: the blocks of the {@link Fetcher}. Out: a stream of {@link ProcessedBatch} from a bounded
 * queue. A block that cannot be read goes back to the scheduler, and its sender is blamed.
 */
import { Context, Effect, Layer, Mailbox, Stream } from "effect"
import { giveBack } from "../domain/answerMemory.ts"
import type { BlockSenders, FetchedBlock } from "../domain/fetchedBlock.ts"
import { countReceipts } from "../domain/receiptList.ts"
import { ByteGate } from "../fetch/ByteGate.ts"
import { endOrFail } from "../fetch/EndOrFail.ts"
import { Fetcher } from "../fetch/Fetcher.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import { Settings } from "../Settings.ts"
import type { BlockPayload } from "../write/rows.ts"
import { Malformed } from "../wire/WireError.ts"

/** A block that the Processor is through with. */
export interface ProcessedBlock {
  readonly blockNumber: number
  readonly receiptCount: number
  readonly senders: BlockSenders
  /** What it still holds of the budget of bytes. */
  readonly heldBytes: number
}

/** Blocks that are through together. */
export interface ProcessedBatch {
  readonly blocks: ReadonlyArray<ProcessedBlock>
  /** What is to be kept of them, block by block; undefined where nothing is. */
  readonly kept: KeptBlocks | undefined
}

/** Checked blocks on their way into the store. */
export interface KeptBlocks {
  readonly payloads: ReadonlyArray<BlockPayload>
  /** Buffers under the payloads that nobody else looks at: they may be transferred. */
  readonly transfer: ReadonlyArray<ArrayBuffer>
}

/** See the module. */
export interface ProcessorShape {
  /** Ends when the fetcher's stream has ended and every block of it is through. */
  readonly batches: Stream.Stream<ProcessedBatch>
}

/** See {@link ProcessorShape}. */
export class Processor extends Context.Tag("annals/Processor")<Processor, ProcessorShape>() {
  /** Counts receipts and drops the rest. */
  static readonly layerCount: Layer.Layer<
    Processor,
    never,
    Fetcher | Scheduler | ByteGate | Settings
  > = Layer.scoped(
    Processor,
    Effect.gen(function* () {
      const settings = yield* Settings
      const fetcher = yield* Fetcher
      const scheduler = yield* Scheduler
      const gate = yield* ByteGate
      const out = yield* Mailbox.make<ProcessedBatch>({ capacity: settings.stageQueueGroups })

      const count = (blocks: ReadonlyArray<FetchedBlock>): Effect.Effect<unknown> => {
        const counted: Array<ProcessedBlock> = []
        const refused: Array<Effect.Effect<void>> = []
        for (const block of blocks) {
          const receipts = countOf(block)
          // What is kept of a block from here on is three numbers: its bytes are free already.
          gate.release(block.heldBytes)
          giveBack(block.receipts)
          if (typeof receipts === "number") counted.push(processed(block, receipts))
          else refused.push(scheduler.rejected(block.blockNumber, receipts))
        }
        const passed =
          counted.length > 0 ? out.offer({ blocks: counted, kept: undefined }) : Effect.void
        return refused.length > 0
          ? Effect.zipRight(Effect.all(refused, { discard: true }), passed)
          : passed
      }

      yield* fetcher.blocks.pipe(
        Stream.runForEach(count),
        Effect.onExit((exit) => endOrFail(out, exit)),
        Effect.forkScoped,
      )
      return { batches: Mailbox.toStream(out) }
    }),
  )
}

const processed = (
  { blockNumber, senders }: FetchedBlock,
  receiptCount: number,
): ProcessedBlock => ({ blockNumber, senders, receiptCount, heldBytes: 0 })

const countOf = (block: FetchedBlock): number | Malformed => {
  try {
    return countReceipts(block.receipts)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return new Malformed({ peerId: block.senders.receipts.peerId, what: "receipts", reason })
  }
}
