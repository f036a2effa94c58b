/**
 * Puts the blocks of one batch together from their parts, and tells the scheduler of each block
 * exactly once that it is here, or that it failed.
 *
 * A block that failed may still be completed by a late answer; then the scheduler decides whether
 * it is still wanted. Parts that were never used give their bytes back when the batch is closed.
 */
import { Clock, Effect, Fiber, type Scope } from "effect"
import type { FetchedBlock } from "../domain/fetchedBlock.ts"
import { equalBytes } from "../domain/hex.ts"
import { EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT, type Header } from "../domain/header.ts"
import { type Assignment, Scheduler } from "../scheduler/Scheduler.ts"
import { ByteGate } from "./ByteGate.ts"
import type { HashedHeader } from "./checkHeaders.ts"
import { FetchPlan } from "./FetchPlan.ts"
import type { PartSink } from "./PartFetch.ts"
import type { PartKind } from "./PeerLanes.ts"

/** A block on its way to being whole. */
interface Draft {
  readonly block: HashedHeader
  readonly parts: Partial<Record<PartKind, Uint8Array>>
  heldBytes: number
  state: "open" | "failed" | "settled"
}

/** A batch that is being put together. */
export interface BatchAssembly extends PartSink {
  /** Takes the batch's headers; blocks that need no request are settled here. */
  readonly begin: (headers: ReadonlyArray<HashedHeader>) => Effect.Effect<void>
  /** The blocks that need a request. */
  readonly open: () => ReadonlyArray<HashedHeader>
  /** Whether a block needs a request for this kind of part. */
  readonly needs: (kind: PartKind, block: HashedHeader) => boolean
  /** Every request is through; what is still listened for is waited for in the background. */
  readonly close: Effect.Effect<void>
}

const EMPTY_LIST = Uint8Array.of(0xc0)
const EMPTY_BODY = Uint8Array.of(0xc2, 0xc0, 0xc0)
const EMPTY_BODY_WITH_WITHDRAWALS = Uint8Array.of(0xc3, 0xc0, 0xc0, 0xc0)

/** Gives how batches are put together; whole blocks go to `emit`. */
export const makeAssembler = Effect.fnUntraced(function* (
  emit: (block: FetchedBlock) => Effect.Effect<unknown>,
  scope: Scope.Scope,
) {
  const plan = yield* FetchPlan
  const scheduler = yield* Scheduler
  const gate = yield* ByteGate

  return (assignment: Assignment, startedMs: number): BatchAssembly => {
    const { batchId, peer } = assignment
    const drafts = new Map<number, Draft>()
    const listeners: Array<Fiber.Fiber<void>> = []

    const closeNow = Effect.sync(() => {
      for (const draft of drafts.values()) {
        if (draft.state !== "settled") gate.release(draft.heldBytes)
        draft.state = "settled"
      }
    })

    const settle = Effect.fnUntraced(function* (draft: Draft) {
      const { receipts, bodies } = draft.parts
      if (receipts === undefined || (plan.bodies !== undefined && bodies === undefined)) return
      const late = draft.state === "failed"
      draft.state = "settled"
      const { header, bytes, hash } = draft.block
      const wanted = late
        ? yield* scheduler.deliveredLate(header.number)
        : yield* scheduler.delivered(batchId, header.number)
      if (!wanted) return gate.release(draft.heldBytes)
      const nowMs = yield* Clock.currentTimeMillis
      yield* emit({
        batchId,
        blockNumber: header.number,
        hash,
        header: bytes,
        body: bodies,
        receipts,
        receiptsForm: peer.ethVersion === 68 ? 68 : 69,
        peerId: peer.peerId,
        ethVersion: peer.ethVersion,
        fetchMs: nowMs - startedMs,
        wholeAtMs: nowMs,
        heldBytes: draft.heldBytes,
      })
    })

    return {
      begin: Effect.fnUntraced(function* (headers) {
        for (const block of headers) {
          const { header } = block
          const parts: Draft["parts"] = {}
          if (equalBytes(header.receiptsRoot, EMPTY_TRIE_ROOT)) parts.receipts = EMPTY_LIST
          if (plan.bodies !== undefined && hasEmptyBody(header)) parts.bodies = emptyBody(header)
          const draft: Draft = { block, parts, heldBytes: 0, state: "open" }
          drafts.set(header.number, draft)
          yield* settle(draft)
        }
      }),
      open: () =>
        [...drafts.values()].filter(({ state }) => state === "open").map(({ block }) => block),
      needs: (kind, { header }) => {
        const draft = drafts.get(header.number)
        return draft?.state === "open" && draft.parts[kind] === undefined
      },
      arrived: (kind, block, item) =>
        Effect.suspend(() => {
          const draft = drafts.get(block.header.number)
          if (draft === undefined || draft.state === "settled" || kind in draft.parts) {
            gate.release(item.length)
            return Effect.void
          }
          draft.parts[kind] = item
          draft.heldBytes += item.length
          return settle(draft)
        }),
      failed: (blocks, error) =>
        Effect.suspend(() => {
          const lost: Array<number> = []
          for (const { header } of blocks) {
            const draft = drafts.get(header.number)
            if (draft?.state !== "open") continue
            lost.push(header.number)
            if (error._tag === "Timeout") draft.state = "failed"
            else {
              // Nothing that comes later can make it whole: its bytes are not worth holding.
              draft.state = "settled"
              gate.release(draft.heldBytes)
            }
          }
          return scheduler.failed(batchId, lost, error)
        }),
      listening: (fiber) => {
        listeners.push(fiber)
      },
      close: Effect.suspend(() =>
        listeners.length === 0
          ? closeNow
          : Effect.forkIn(Effect.zipRight(Fiber.awaitAll(listeners), closeNow), scope),
      ),
    }
  }
})

const hasEmptyBody = (header: Header): boolean =>
  equalBytes(header.transactionsRoot, EMPTY_TRIE_ROOT) &&
  equalBytes(header.ommersHash, EMPTY_OMMERS_HASH) &&
  (header.withdrawalsRoot === undefined || equalBytes(header.withdrawalsRoot, EMPTY_TRIE_ROOT))

const emptyBody = (header: Header): Uint8Array =>
  header.withdrawalsRoot === undefined ? EMPTY_BODY : EMPTY_BODY_WITH_WITHDRAWALS
