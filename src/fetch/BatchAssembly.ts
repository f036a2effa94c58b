/**
 * Puts the blocks of one batch together from their parts, and tells the scheduler of each block
 * exactly once that it is here, or that it goes back.
 *
 * Parts come from the batch's peer, or from the {@link Larder}, where an earlier batch has left
 * them. A block that cannot be made whole here leaves its parts there, unless its peer lied; where
 * there is no room for them, they are not asked for. A late answer goes there too, or makes its
 * block whole with what is there. The scheduler then decides whether it is still wanted.
 *
 * Bytes: a part that its peer sent is counted in the {@link ByteGate} until it goes into the larder
 * or its block is given up; a part out of the larder is lent, and counted there until its block is
 * whole. So a batch that waits for bytes holds none for such parts.
 */
import { Effect } from "effect"
import { giveBack } from "../domain/answerMemory.ts"
import type { FetchedBlock, PartSender } from "../domain/fetchedBlock.ts"
import type { Peer } from "../peers/Peer.ts"
import { PeerPool } from "../peers/PeerPool.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import type { Assignment } from "../scheduler/SchedulerShape.ts"
import { ByteGate } from "./ByteGate.ts"
import type { HashedHeader } from "./checkHeaders.ts"
import { type FetchError, PartlyServed } from "./FetchError.ts"
import { FetchPlan } from "./FetchPlan.ts"
import { failureOfBlock } from "./goingBack.ts"
import { impliedPart } from "./impliedParts.ts"
import type { Larder, Part } from "./larder.ts"
import type { ArrivedPart, PartSink } from "./PartFetch.ts"
import type { PartKind } from "./PeerLanes.ts"
import { verdict } from "./verdict.ts"

/** A part of a draft. */
interface DraftPart {
  readonly bytes: Uint8Array
  readonly sender: PartSender
  /** `implied` by the header, which says that it is empty; `sent` by the peer; out of the larder. */
  readonly from: "implied" | "sent" | Part
}

/** A block on its way to being whole. */
interface Draft {
  readonly block: HashedHeader
  /** The kinds that the peer is asked for where they are missing. */
  served: ReadonlySet<PartKind>
  readonly parts: Partial<Record<PartKind, DraftPart>>
  readonly errors: Partial<Record<PartKind, FetchError>>
  turnedAway: boolean
  /** `gone`: back at the scheduler, its parts in the larder; a late answer may complete it. */
  state: "open" | "gone"
}

/** What came of a batch. */
export interface BatchOutcome {
  /** Blocks that it made whole. */
  readonly delivered: number
  /** Blocks that went back because the peer serves only a part of them. */
  readonly partlyServed: number
  /** Blocks of which nothing was asked, for there is no room for a part of them. */
  readonly turnedAway: number
  /** Parts that it left in the larder. */
  readonly stored: number
  /** Whether its peer is offered next what parts of others wait for. */
  readonly pointed: boolean
}

/** A batch that is being put together. */
export interface BatchAssembly extends PartSink {
  /** Takes the batch's headers; blocks that need no request are settled here. */
  readonly begin: (headers: ReadonlyArray<HashedHeader>) => Effect.Effect<void>
  /** The blocks that are not whole. */
  readonly open: () => ReadonlyArray<HashedHeader>
  /** Whether a block needs a request for this kind of part. */
  readonly needs: (kind: PartKind, block: HashedHeader) => boolean
  /** All that these blocks were asked for is answered: those that are not whole go back. */
  readonly turnOver: (blocks: ReadonlyArray<HashedHeader>) => Effect.Effect<void>
  /** The run is over: gives back what the batch still holds and has borrowed. */
  readonly abandon: () => void
  /** What came of the batch so far. */
  readonly outcome: () => BatchOutcome
}

/** What a part of a block is taken to weigh, in bytes, before a peer has sent it. */
export type WeighPart = (peer: Peer, kind: PartKind, gasUsed: number) => number

/** Gives how batches are put together; whole blocks go to `emit`. */
export const makeAssembler = Effect.fnUntraced(function* (
  larder: Larder,
  weigh: WeighPart,
  emit: (blocks: ReadonlyArray<FetchedBlock>) => Effect.Effect<unknown>,
) {
  const { kinds } = yield* FetchPlan
  const scheduler = yield* Scheduler
  const pool = yield* PeerPool
  const gate = yield* ByteGate
  const clock = yield* Effect.clock
  const room = yield* Effect.makeLatch()

  /**
   * `patient`: blocks for whose parts there is no room go back without a mark, to be offered to the
   * peer again; otherwise it had its chance at them, so that a round comes to its end.
   */
  const assemble = (assignment: Assignment, startedMs: number, patient: boolean): BatchAssembly => {
    const { batchId, peer } = assignment
    const { peerId, ethVersion } = peer
    const sender: PartSender = { peerId, batchId, ethVersion }
    const drafts = new Map<number, Draft>()
    const outcome = { delivered: 0, partlyServed: 0, turnedAway: 0, stored: 0, pointed: false }
    /** What the larder will be given of this batch, if it comes as it is weighed now. */
    let expectedBytes = 0
    /** What its peer lacks of blocks for whose parts there is no room. */
    let unserved: ReadonlyArray<PartKind> = []

    const isWhole = ({ parts }: Draft): boolean => kinds.every((kind) => parts[kind] !== undefined)

    /** Borrows what the larder has of a block and the draft has not. */
    const borrow = (draft: Draft): void => {
      const { header, hash } = draft.block
      for (const part of larder.lend(header.number, hash)) {
        if (draft.parts[part.kind] !== undefined || !kinds.includes(part.kind)) {
          larder.takeBack(part)
        } else draft.parts[part.kind] = { bytes: part.bytes, sender: part.sender, from: part }
      }
    }

    /** Takes a draft's parts from it, into the larder where they are worth keeping. */
    const putAway = (draft: Draft, keepsSent: boolean): void => {
      const { header, hash } = draft.block
      const { number: blockNumber } = header
      const isOpen = scheduler.isOpen(blockNumber)
      for (const kind of kinds) {
        const part = draft.parts[kind]
        if (part === undefined || part.from === "implied") continue
        delete draft.parts[kind]
        const { bytes, from } = part
        if (from !== "sent") {
          larder.takeBack(from)
          continue
        }
        const stored =
          keepsSent &&
          isOpen &&
          larder.put({ kind, blockNumber, hash, bytes, sender }, clock.unsafeCurrentTimeMillis())
        if (stored) outcome.stored += 1
        gate.release(bytes.length)
        // The larder has a copy.
        giveBack(bytes)
      }
      // It became whole elsewhere: nobody will ask for its parts.
      if (!isOpen) larder.drop(blockNumber)
    }

    /** Blocks that are whole and wanted, and not handed on yet. */
    let ready: Array<FetchedBlock> = []

    /** Hands on what is ready. */
    const handOn = (): Effect.Effect<void> => {
      if (ready.length === 0) return Effect.void
      const blocks = ready
      ready = []
      if (!larder.mostlyFree) return Effect.asVoid(emit(blocks))
      return Effect.zipRight(room.release, Effect.asVoid(emit(blocks)))
    }

    /** Makes a whole block ready to be handed on, if it is still wanted. */
    const settle = (draft: Draft): void => {
      const { bodies, receipts } = draft.parts
      // Every plan wants receipts.
      if (receipts === undefined) return
      const late = draft.state === "gone"
      const { header, bytes, hash } = draft.block
      drafts.delete(header.number)
      const wanted = late
        ? scheduler.deliveredLate(header.number)
        : scheduler.delivered(batchId, header.number)
      // Somebody else has it, or its peer has left: what the peer sent is of no use any more.
      if (!wanted) return putAway(draft, false)
      outcome.delivered += 1
      let heldBytes = 0
      for (const part of [bodies, receipts]) {
        if (part === undefined || part.from === "implied") continue
        heldBytes += part.bytes.length
        if (part.from === "sent") continue
        gate.overdraw(part.bytes.length)
        larder.usedUp(part.from)
      }
      larder.drop(header.number)
      const nowMs = clock.unsafeCurrentTimeMillis()
      const body = bodies?.sender ?? sender
      ready.push({
        batchId,
        blockNumber: header.number,
        hash,
        header: bytes,
        body: bodies?.bytes,
        receipts: receipts.bytes,
        receiptsForm: receipts.sender.ethVersion === 68 ? 68 : 69,
        senders: { header: sender, body, receipts: receipts.sender },
        fetchMs: nowMs - startedMs,
        wholeAtMs: nowMs,
        heldBytes,
      })
    }

    /** A part for a block that went back already: it may complete it all the same. */
    const arrivedLate = (draft: Draft): void => {
      borrow(draft)
      if (isWhole(draft)) settle(draft)
      else putAway(draft, true)
    }

    const arrived = (kind: PartKind, { block, item }: ArrivedPart): void => {
      const draft = drafts.get(block.header.number)
      if (draft === undefined || kind in draft.parts) return gate.release(item.length)
      draft.parts[kind] = { bytes: item, sender, from: "sent" }
      if (draft.state === "gone") arrivedLate(draft)
      else if (isWhole(draft)) settle(draft)
    }

    /** Asks for no part of a block that this peer cannot make whole when there is no room for it. */
    const turnAwayWithoutRoom = (draft: Draft): void => {
      const { number, gasUsed } = draft.block.header
      const missing = kinds.filter((kind) => draft.parts[kind] === undefined)
      const asked = missing.filter((kind) => draft.served.has(kind))
      if (asked.length === missing.length || asked.length === 0) return
      const bytes = asked.reduce((sum, kind) => sum + weigh(peer, kind, gasUsed), expectedBytes)
      const isFirst = expectedBytes === 0
      const nowMs = clock.unsafeCurrentTimeMillis()
      if (larder.hasRoom(bytes, number, nowMs, isFirst)) expectedBytes = bytes
      else {
        draft.served = new Set()
        draft.turnedAway = patient
        unserved = missing.filter((kind) => !asked.includes(kind))
      }
    }

    /**
     * Who was turned away is to be given what others wait for: with little room two peers may go
     * round among many blocks, each at another place, and never meet.
     */
    const pointToWhatWaits = (): void => {
      const block = unserved.length === 0 ? undefined : larder.lowestOf(unserved)
      // What is in this batch the peer is trying now.
      if (block === undefined || drafts.has(block)) return
      outcome.pointed = scheduler.partsWait(peerId, block)
    }

    /** Whether the peer serves this still; of one that has left the pool the request will tell. */
    const isServed = (kind: PartKind, block: number): boolean =>
      pool.serves(peerId, kind, block) || !pool.serves(peerId, "headers", block)

    const draftOf = (block: HashedHeader): Draft => {
      const { header } = block
      const parts: Draft["parts"] = {}
      for (const kind of kinds) {
        const bytes = impliedPart(header, kind)
        if (bytes !== undefined) parts[kind] = { bytes, sender, from: "implied" }
      }
      const served = kinds.filter((kind) => isServed(kind, header.number))
      return { block, served: new Set(served), parts, errors: {}, turnedAway: false, state: "open" }
    }

    return {
      begin: (headers) =>
        Effect.suspend(() => {
          for (const block of headers) {
            const draft = draftOf(block)
            drafts.set(block.header.number, draft)
            borrow(draft)
            if (isWhole(draft)) settle(draft)
            else turnAwayWithoutRoom(draft)
          }
          pointToWhatWaits()
          return handOn()
        }),
      open: () =>
        [...drafts.values()].filter(({ state }) => state === "open").map(({ block }) => block),
      needs: (kind, { header }) => {
        const draft = drafts.get(header.number)
        if (draft?.state !== "open" || draft.parts[kind] !== undefined) return false
        return draft.served.has(kind) && isServed(kind, header.number)
      },
      arrived: (kind, parts) =>
        Effect.suspend(() => {
          for (const part of parts) arrived(kind, part)
          return handOn()
        }),
      failed: (kind, blocks, error) =>
        Effect.suspend(() => {
          for (const { header } of blocks) {
            const draft = drafts.get(header.number)
            if (draft?.state === "open") draft.errors[kind] = error
          }
          // The peer's account at once; the blocks when all that they were asked for is answered.
          return scheduler.failed(batchId, [], error)
        }),
      turnOver: Effect.fnUntraced(function* (blocks) {
        const failed = new Map<FetchError, Array<number>>()
        const partly = new Map<PartKind, Array<number>>()
        const turnedAway: Array<number> = []
        for (const { header } of blocks) {
          const draft = drafts.get(header.number)
          if (draft?.state !== "open") continue
          const { parts, errors } = draft
          const missing = kinds.filter((kind) => parts[kind] === undefined)
          const anyPart = kinds.some((kind) => (parts[kind]?.from ?? "implied") !== "implied")
          const error = failureOfBlock(
            missing.flatMap((kind) => errors[kind] ?? []),
            anyPart,
          )
          putAway(draft, error === undefined || verdict(error._tag).peer !== "ban")
          draft.state = "gone"
          if (error === undefined && draft.turnedAway) turnedAway.push(header.number)
          else if (error === undefined) note(partly, missing[0]!, header.number)
          else note(failed, error, header.number)
        }
        if (turnedAway.length > 0) {
          outcome.turnedAway += turnedAway.length
          scheduler.returned(batchId, turnedAway, undefined)
        }
        for (const [error, numbers] of failed) scheduler.returned(batchId, numbers, error)
        for (const [what, blockNumbers] of partly) {
          outcome.partlyServed += blockNumbers.length
          const error = new PartlyServed({ peerId, what, blockNumbers })
          yield* scheduler.failed(batchId, blockNumbers, error)
        }
      }),
      abandon: () => {
        for (const draft of drafts.values()) putAway(draft, false)
        drafts.clear()
      },
      outcome: () => ({ ...outcome }),
    }
  }

  return {
    assemble,
    /** Waits until a whole block leaves the larder mostly free. */
    roomMade: room.await,
  }
})

const note = <Key>(map: Map<Key, Array<number>>, key: Key, block: number): void => {
  const blocks = map.get(key)
  if (blocks === undefined) map.set(key, [block])
  else blocks.push(block)
}
