/**
 * Receipts: one list a block. How the lists of an answer are told apart is the
 * plan's: by gas in a probe, which computes no root, by their roots in ingest. On eth/70 a list that was cut inside its block is
 * continued until the block is whole (EIP-7975).
 */
import { Effect } from "effect"
import {
  countReceipts,
  isEmptyList,
  lastCumulativeGas,
  type ReceiptsForm,
} from "../domain/receiptList.ts"
import { encodeList, RlpReader } from "../domain/rlp.ts"
import { Settings } from "../Settings.ts"
import { Malformed } from "../wire/WireError.ts"
import { ByteGate } from "./ByteGate.ts"
import type { HashedHeader } from "./checkHeaders.ts"
import { EmptyAnswer, WrongReceipts } from "./FetchError.ts"
import { FetchPlan } from "./FetchPlan.ts"
import { NO_RECEIPTS } from "./matchReceipts.ts"
import type { PartAnswer, PartJob, PartMethod } from "./PartFetch.ts"
import type { PeerLanes } from "./PeerLanes.ts"

/** The least gas of a transaction: bounds the receipts that a block's gas allows. */
const LEAST_TRANSACTION_GAS = 21_000

/**
 * Bounds of one block's receipts over eth/70, against a peer that never comes to an end. The largest
 * block known weighs 10.66 MB; reth cuts at 2 MiB.
 */
const MOST_PARTS = 32
const MOST_BYTES = 64 * 1024 * 1024

/** How receipts are asked for and read. */
export const makeReceiptsMethod = Effect.fnUntraced(function* (lanes: PeerLanes) {
  const { receiptsAnswerBytes } = yield* Settings
  const { matchReceipts } = yield* FetchPlan
  const gate = yield* ByteGate

  /** Asks for the rest of a block until it is whole; `held` counts the bytes taken on the way. */
  const rest = Effect.fnUntraced(function* (
    job: PartJob,
    block: HashedHeader,
    start: Uint8Array,
    held: { bytes: number },
  ) {
    const { peer } = job.assignment
    const { peerId } = peer
    const { gasUsed, number } = block.header
    const most = Math.ceil(gasUsed / LEAST_TRANSACTION_GAS)
    const parts: Array<Uint8Array> = [start]
    // Of the part that came so far only the outside was looked at.
    let count = yield* readable(job, () => countReceipts(start))
    for (let cut = true; cut;) {
      const firstIndex = count
      // Who continues a block holds its first part: to wait here could be to wait for oneself.
      gate.overdraw(receiptsAnswerBytes)
      const answer = yield* lanes.ask({
        peer,
        kind: "receipts",
        reservedBytes: receiptsAnswerBytes,
        send: (timeoutMs) => send(job, [block], firstIndex, timeoutMs),
      })
      held.bytes += answer.bytes
      const part = answer.items[0]
      const got = part === undefined ? 0 : yield* readable(job, () => countReceipts(part))
      if (part === undefined || got === 0) {
        return yield* new EmptyAnswer({ peerId, what: "receipts", fromBlock: number, asked: 1 })
      }
      count += got
      if (count > most || parts.length > MOST_PARTS || held.bytes > MOST_BYTES) {
        const reason = `${count} receipts, ${held.bytes} bytes in ${parts.length + 1} parts, for ${gasUsed} gas`
        return yield* new Malformed({ peerId, what: "receipts", reason })
      }
      parts.push(part)
      cut = answer.lastCut
    }
    const whole = encodeList(parts.map((part) => RlpReader.list(part).rest()))
    const gas = yield* readable(job, () => lastCumulativeGas(whole, formOf(job)))
    if (gas !== gasUsed) return yield* wrongReceipts(job, block, gas)
    return whole
  })

  const finish = Effect.fnUntraced(function* (
    job: PartJob,
    block: HashedHeader,
    start: Uint8Array,
  ) {
    const held = { bytes: start.length }
    const whole = yield* Effect.either(rest(job, block, start, held))
    if (whole._tag === "Left") {
      gate.release(held.bytes)
      return yield* job.sink.failed("receipts", [block], whole.left)
    }
    gate.release(held.bytes - whole.right.length)
    yield* job.sink.arrived("receipts", [{ block, item: whole.right }])
  })

  const method: PartMethod = {
    kind: "receipts",
    send: (job, timeoutMs) => send(job, job.blocks, 0, timeoutMs),
    match: Effect.fnUntraced(function* (job, answer, whole) {
      const { blocks } = job
      const gas = yield* readable(job, () => gasOf(job, whole))
      const cut = answer.lastCut ? answer.items.at(-1) : undefined
      const cutIsEmpty = yield* readable(job, () => cut === undefined || isEmptyList(cut))
      // EIP-7975: a server may say "incomplete" and give nothing of the block. No lie, no progress.
      if (cutIsEmpty && gas.every((each) => each === NO_RECEIPTS)) {
        const fromBlock = blocks[0]!.header.number
        const { peerId } = job.assignment.peer
        return yield* new EmptyAnswer({ peerId, what: "receipts", fromBlock, asked: blocks.length })
      }
      return yield* readable(job, () => matchReceipts(blocks, gas, whole, formOf(job)))
    }),
    foreign: (job, item) =>
      wrongReceipts(job, job.blocks[0]!, lastCumulativeGas(item, formOf(job))),
    finish,
  }
  return method
})

const send = (
  job: PartJob,
  blocks: ReadonlyArray<HashedHeader>,
  firstIndex: number,
  timeoutMs: number,
) =>
  Effect.map(
    job.assignment.peer.getReceipts(
      blocks.map((block) => block.hash),
      firstIndex,
      timeoutMs,
    ),
    ({ lists, lastBlockIncomplete, bytes, elapsedMs }): PartAnswer => ({
      items: lists,
      lastCut: lastBlockIncomplete,
      bytes,
      elapsedMs,
    }),
  )

const gasOf = (job: PartJob, lists: ReadonlyArray<Uint8Array>): ReadonlyArray<number> =>
  lists.map((list) => (isEmptyList(list) ? NO_RECEIPTS : lastCumulativeGas(list, formOf(job))))

const formOf = (job: PartJob): ReceiptsForm => (job.assignment.peer.ethVersion === 68 ? 68 : 69)

const readable = <A>(job: PartJob, read: () => A): Effect.Effect<A, Malformed> =>
  Effect.try({
    try: read,
    catch: (error) =>
      new Malformed({
        peerId: job.assignment.peer.peerId,
        what: "receipts",
        reason: error instanceof Error ? error.message : String(error),
      }),
  })

const wrongReceipts = (job: PartJob, block: HashedHeader, gas: number): WrongReceipts =>
  new WrongReceipts({
    peerId: job.assignment.peer.peerId,
    blockNumber: block.header.number,
    expected: `cumulative gas ${block.header.gasUsed}`,
    actual: `cumulative gas ${gas}`,
  })
