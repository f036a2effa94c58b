/**
 * The parts of a batch's blocks, kind by kind: a request is sent, and its answer dealt out to the
 * blocks; each gets its part or is reported as failed.
 *
 * A kind (receipts in `ReceiptsFetch.ts`, bodies in `BodiesFetch.ts`) says how to ask and how to
 * read an answer; what an answer means is the same for all.
 */
import { Effect } from "effect"
import { lendMemory } from "../domain/answerMemory.ts"
import type { ReceiptsForm } from "../domain/receiptList.ts"
import type { Assignment } from "../scheduler/SchedulerShape.ts"
import type { RequestError } from "../wire/WireError.ts"
import { ByteGate } from "./ByteGate.ts"
import type { HashedHeader } from "./checkHeaders.ts"
import { dealAnswer } from "./dealAnswer.ts"
import { EmptyAnswer, type FetchError, Skipped, Truncated } from "./FetchError.ts"
import type { PartMatches } from "./matchReceipts.ts"
import type { PartKind, PeerLanes } from "./PeerLanes.ts"

/** A part that came, of whichever kind was asked for. */
export interface ArrivedPart {
  readonly block: HashedHeader
  readonly item: Uint8Array
}

/** Where the parts of a batch go. */
export interface PartSink {
  /** Parts of blocks are here; their bytes are the sink's to give back. */
  readonly arrived: (kind: PartKind, parts: ReadonlyArray<ArrivedPart>) => Effect.Effect<void>
  /** Blocks whose part did not come. One call is one failure, be it of no block. */
  readonly failed: (
    kind: PartKind,
    blocks: ReadonlyArray<HashedHeader>,
    error: FetchError,
  ) => Effect.Effect<void>
}

/** A request of a batch: the blocks, and where their parts go. */
export interface PartJob {
  readonly assignment: Assignment
  readonly blocks: ReadonlyArray<HashedHeader>
  readonly sink: PartSink
}

/** An answer, as every kind gives it. */
export interface PartAnswer {
  readonly items: ReadonlyArray<Uint8Array>
  /** Whether the last item stops inside its block (eth/70 receipts). */
  readonly lastCut: boolean
  readonly bytes: number
  readonly elapsedMs: number
}

/** What a kind of part has of its own. */
export interface PartMethod {
  readonly kind: PartKind
  /** Asks for the parts of these blocks. */
  readonly send: (job: PartJob, timeoutMs: number) => Effect.Effect<PartAnswer, RequestError>
  /** Tells whose the whole items are; fails when an item is broken. */
  readonly match: (
    job: PartJob,
    answer: PartAnswer,
    whole: ReadonlyArray<Uint8Array>,
  ) => Effect.Effect<PartMatches, FetchError>
  /** The error for an item that belongs to none of the blocks. */
  readonly foreign: (job: PartJob, item: Uint8Array) => FetchError
  /** Fetches the rest of a block whose item was cut; undefined where nothing is ever cut. */
  readonly finish:
    | ((job: PartJob, block: HashedHeader, start: Uint8Array) => Effect.Effect<void>)
    | undefined
}

/**
 * Tells whose receipts lists are: `gas` is the cumulative gas of each, `NO_RECEIPTS` for an empty
 * one. May throw `RlpError` for lists that are broken.
 */
export type MatchReceipts = (
  blocks: ReadonlyArray<HashedHeader>,
  gas: ReadonlyArray<number>,
  lists: ReadonlyArray<Uint8Array>,
  form: ReceiptsForm,
) => PartMatches

/** Gives the effect that asks for one kind of part once and deals the answer out. */
export const makePartFetch = Effect.fnUntraced(function* (lanes: PeerLanes, method: PartMethod) {
  const gate = yield* ByteGate

  /** Deals a readable answer out to its blocks. */
  const settle = Effect.fnUntraced(function* (job: PartJob, answer: PartAnswer) {
    const { blocks, sink } = job
    const { peer } = job.assignment
    const { peerId } = peer
    const cut = answer.lastCut ? answer.items.at(-1) : undefined
    const whole = cut === undefined ? answer.items : answer.items.slice(0, -1)
    const matches = yield* Effect.either(method.match(job, answer, whole))
    const foreign = matches._tag === "Right" ? matches.right.foreign : undefined
    if (matches._tag === "Left" || foreign !== undefined) {
      gate.release(answer.bytes)
      const error = matches._tag === "Left" ? matches.left : method.foreign(job, whole[foreign!]!)
      return yield* sink.failed(method.kind, blocks, error)
    }
    const dealt = dealAnswer(blocks, matches.right, whole.length)
    const cutBlock = cut === undefined ? undefined : dealt.beyond[0]
    const after = dealt.beyond.slice(cutBlock === undefined ? 0 : 1)
    let kept = cutBlock === undefined || cut === undefined ? 0 : cut.length
    let gas = 0
    const arrived = dealt.arrived.map(({ block, item }): ArrivedPart => ({
      block,
      item: whole[item]!,
    }))
    for (const { block, item } of arrived) {
      kept += item.length
      gas += block.header.gasUsed
    }
    gate.release(answer.bytes - kept)
    lanes.learnSize(peer, method.kind, kept, gas)
    // What was cut is looked at until its rest is there: the collector has the memory then.
    const parts = arrived.length + (cut === undefined ? 0 : 1)
    if (arrived.length > 0) {
      lendMemory(arrived[0]!.item, parts)
      yield* sink.arrived(method.kind, arrived)
    }
    const [firstEmpty] = dealt.empty
    if (firstEmpty !== undefined) {
      const fromBlock = firstEmpty.header.number
      const asked = dealt.empty.length
      yield* sink.failed(
        method.kind,
        dealt.empty,
        new EmptyAnswer({ peerId, what: method.kind, fromBlock, asked }),
      )
    }
    if (dealt.skipped.length > 0) {
      const blockNumbers = dealt.skipped.map((block) => block.header.number)
      yield* sink.failed(method.kind, dealt.skipped, new Skipped({ peerId, blockNumbers }))
    }
    if (answer.items.length < blocks.length) {
      const got = answer.items.length
      const truncated = new Truncated({ peerId, asked: blocks.length, got })
      yield* sink.failed(method.kind, after, truncated)
    }
    if (cutBlock !== undefined && cut !== undefined && method.finish !== undefined) {
      yield* method.finish(job, cutBlock, cut)
    }
  })

  return Effect.fn("Fetcher.part")(function* (job: PartJob, reservedBytes: number) {
    const answer = yield* Effect.either(
      lanes.ask({
        peer: job.assignment.peer,
        kind: method.kind,
        reservedBytes,
        send: (timeoutMs) => method.send(job, timeoutMs),
        late: (answer) => settle(job, answer),
        // The deadline was booked when it passed; only what breaks the protocol is told beside it.
        lateFailed: (error) =>
          error._tag === "Malformed" ? job.sink.failed(method.kind, [], error) : Effect.void,
      }),
    )
    if (answer._tag === "Left") return yield* job.sink.failed(method.kind, job.blocks, answer.left)
    yield* settle(job, answer.right)
  })
})

/** Fetches one kind of part for some blocks, whose bytes are reserved; never fails. */
export type PartFetch = Effect.Effect.Success<ReturnType<typeof makePartFetch>>
