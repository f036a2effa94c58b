/**
 * What the scheduler is for the other stages: assignments out, reports in. `Scheduler.ts` makes it.
 */
import type { Effect, Stream } from "effect"
import type { BlockRanges } from "../domain/blockRanges.ts"
import type { BlockSenders } from "../domain/fetchedBlock.ts"
import type { FetchError } from "../fetch/FetchError.ts"
import type { Peer } from "../peers/Peer.ts"
import type { Contestant } from "./model.ts"

/** A batch for one slot of a peer: consecutive blocks, both ends inclusive. */
export interface Assignment {
  readonly batchId: number
  readonly peer: Peer
  readonly fromBlock: number
  readonly toBlock: number
  /** Whether it is one block that has failed three times. */
  readonly escalated: boolean
}

/** A block that the last stage is through with. */
export interface DoneBlock {
  readonly blockNumber: number
  /** Who sent its parts. */
  readonly senders: BlockSenders
  readonly receiptCount: number
}

/** How many blocks are in which state. */
export interface SchedulerProgress {
  readonly pending: number
  readonly assigned: number
  /** Fetched, and on their way through the later stages. */
  readonly delivered: number
  readonly done: number
}

/** See the module. */
export interface SchedulerShape {
  /** Ends when the run is over. One consumer. */
  readonly assignments: Stream.Stream<Assignment>
  /** A block is fetched; true when it is still wanted from this batch and may be handed on. */
  readonly delivered: (batchId: number, blockNumber: number) => boolean
  /** A block came after its batch had given it up; true when nobody else has it yet. */
  readonly deliveredLate: (blockNumber: number) => boolean
  /** Blocks of a batch could not be fetched. One call is one failure, whatever the blocks. */
  readonly failed: (
    batchId: number,
    blockNumbers: ReadonlyArray<number>,
    error: FetchError,
  ) => Effect.Effect<void>
  /** Blocks of a batch go back for a failure that was told already, or unasked for, for none. */
  readonly returned: (
    batchId: number,
    blockNumbers: ReadonlyArray<number>,
    error: FetchError | undefined,
  ) => void
  /** How many batches are of use at a peer at once; it has at least one and at most `slotsPerPeer`. */
  readonly slots: (peerId: string, count: number) => void
  /** The batch takes much longer than others: peers that are idle are asked for its blocks too. */
  readonly overdue: (batchId: number) => void
  /** The slot is free; blocks of the batch that were not spoken of go back. */
  readonly batchEnded: (batchId: number) => Effect.Effect<void>
  /** A later stage refused a delivered block; its sender, named in the error, is blamed. */
  readonly rejected: (blockNumber: number, error: FetchError) => Effect.Effect<void>
  /** A delivered block is not kept, and nobody is blamed; it is fetched again, from another. */
  readonly withdrawn: (blockNumber: number, peerId: string) => Effect.Effect<void>
  /**
   * A delivered block is not kept because it contradicts `others`, and nobody can tell who is right: it
   * and those that had to go for it are fetched again after a rest, of whom fewest contradict.
   */
  readonly contested: (
    blockNumber: number,
    peerId: string,
    others: ReadonlyArray<Contestant>,
  ) => Effect.Effect<void>
  /** Blocks about which peers contradicted each other, done since or not. */
  readonly disputed: Effect.Effect<BlockRanges>
  /** Blocks of which some offer failed its checks, and that are not done since. */
  readonly refuted: Effect.Effect<BlockRanges>
  /**
   * Blocks that were done are found wrong and gone from the store; they are fetched again. Who had
   * sent them is blamed with the error, if it is known.
   */
  readonly revoked: (blocks: BlockRanges, error: FetchError | undefined) => Effect.Effect<void>
  /**
   * More is wanted; what is known already changes nothing. Of `live` blocks, which lie so near the
   * head that peers may be about to get them, having nothing is no fault: they are asked again shortly.
   */
  readonly want: (blocks: BlockRanges, live: boolean) => Effect.Effect<void>
  /** No longer wanted, whatever became of them; what is out of them is dropped when it comes. */
  readonly forget: (blocks: BlockRanges) => Effect.Effect<void>
  /** What a peer was seen to have, and what it was seen to have another block in the place of. */
  readonly seen: (peerId: string, has: BlockRanges, lacks: BlockRanges) => Effect.Effect<void>
  /**
   * Parts of a block wait for what the peer has of it, and there is no room for parts of others; true
   * when it is next among the peer's second chances.
   */
  readonly partsWait: (peerId: string, blockNumber: number) => boolean
  /** Whether the block is to be fetched: it is neither on its way through the later stages nor done. */
  readonly isOpen: (blockNumber: number) => boolean
  /** The end of the unbroken run of blocks that are done from `fromBlock` on; one below it: none. */
  readonly doneTo: (fromBlock: number) => number
  /** The last stage is through with a block. */
  readonly done: (block: DoneBlock) => void
  readonly progress: Effect.Effect<SchedulerProgress>
  /** Assigns nothing more; the run ends when what is out has come home. */
  readonly stop: Effect.Effect<void>
  /** Waits for the end of the run and gives the blocks that failed for good. */
  readonly finished: Effect.Effect<BlockRanges>
}
