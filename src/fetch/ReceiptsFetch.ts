/**
 * One receipts request and what its answer means for each block that it asked for. Lists are told
 * apart by gas (`matchReceipts.ts`), since a probe computes no roots. On eth/70 a list that was cut
 * inside its block is continued until the block is whole (EIP-7975).
 */
import { Clock, Effect } from "effect"
import type { FetchedBlock } from "../domain/fetchedBlock.ts"
import { RlpReader, encodeList } from "../domain/rlp.ts"
import { type ReceiptsForm, countReceipts, lastCumulativeGas } from "../domain/receipts.ts"
import { Stats } from "../observe/Stats.ts"
import { type Assignment, Scheduler } from "../scheduler/Scheduler.ts"
import { Settings } from "../Settings.ts"
import type { ReceiptsAnswer } from "../wire/Session.ts"
import { Malformed, type RequestError } from "../wire/WireError.ts"
import { ByteGate } from "./ByteGate.ts"
import type { HashedHeader } from "./checkHeaders.ts"
import { EmptyAnswer, type FetchError, Skipped, Truncated, WrongReceipts } from "./FetchError.ts"
import { NO_RECEIPTS, type ReceiptsMatches, matchByGas } from "./matchReceipts.ts"

/** A part of a batch whose receipts are asked for at once; every block has receipts. */
export interface ReceiptsJob {
  readonly assignment: Assignment
  readonly blocks: ReadonlyArray<HashedHeader>
  /** When the batch began, on the run's clock. */
  readonly startedMs: number
}

/** The least gas of a transaction: bounds the receipts that a block's gas allows. */
const LEAST_TRANSACTION_GAS = 21_000

/** Gives the effect that does one {@link ReceiptsJob}; it never fails. */
export const makeReceiptsFetch = Effect.fnUntraced(function* (
  deliver: (block: FetchedBlock) => Effect.Effect<void>,
) {
  const settings = yield* Settings
  const scheduler = yield* Scheduler
  const stats = yield* Stats
  const gate = yield* ByteGate

  /** Asks with the bytes reserved; afterwards exactly the answer's bytes are held. */
  const ask = Effect.fn("Fetcher.receipts")(function* (
    job: ReceiptsJob,
    blocks: ReadonlyArray<HashedHeader>,
    firstIndex: number,
  ): Effect.fn.Return<ReceiptsAnswer, RequestError> {
    const reserved = settings.receiptsAnswerBytes
    // Who continues a block holds its first part: to wait here could be to wait for oneself.
    if (firstIndex > 0) gate.overdraw(reserved)
    else yield* gate.reserve(reserved)
    stats.requests.receipts += 1
    const hashes = blocks.map((block) => block.hash)
    const answer = yield* job.assignment.peer
      .getReceipts(hashes, firstIndex, settings.requestTimeoutMs)
      .pipe(Effect.tapErrorCause(() => Effect.sync(() => gate.release(reserved))))
    if (answer.bytes > reserved) gate.overdraw(answer.bytes - reserved)
    else gate.release(reserved - answer.bytes)
    stats.answered("receipts", answer.elapsedMs, answer.bytes)
    return answer
  })

  const fail = (job: ReceiptsJob, blocks: ReadonlyArray<HashedHeader>, error: FetchError) =>
    scheduler.failed(
      job.assignment.batchId,
      blocks.map((block) => block.header.number),
      error,
    )

  const deliverBlock = Effect.fnUntraced(function* (
    job: ReceiptsJob,
    block: HashedHeader,
    receipts: Uint8Array,
  ) {
    const { batchId, peer } = job.assignment
    const nowMs = yield* Clock.currentTimeMillis
    yield* deliver({
      batchId,
      blockNumber: block.header.number,
      hash: block.hash,
      header: block.bytes,
      body: undefined,
      receipts,
      receiptsForm: formOf(job),
      peerId: peer.peerId,
      ethVersion: peer.ethVersion,
      fetchMs: nowMs - job.startedMs,
      heldBytes: receipts.length,
    })
  })

  /** Asks for the rest of a block that was cut until it is whole, and delivers it. */
  const continueBlock = Effect.fnUntraced(function* (
    job: ReceiptsJob,
    block: HashedHeader,
    start: Uint8Array,
  ) {
    const { peerId } = job.assignment.peer
    const parts: Array<Uint8Array> = [start]
    let held = start.length
    const rest = Effect.gen(function* () {
      let count = countReceipts(start)
      const most = Math.ceil(block.header.gasUsed / LEAST_TRANSACTION_GAS)
      for (let cut = true; cut;) {
        const answer = yield* ask(job, [block], count)
        held += answer.bytes
        const part = answer.lists[0]
        const got = part === undefined ? 0 : yield* readable(job, () => countReceipts(part))
        if (part === undefined || got === 0) {
          return yield* new EmptyAnswer({ peerId, fromBlock: block.header.number, asked: 1 })
        }
        count += got
        if (count > most) {
          const reason = `${count} receipts for ${block.header.gasUsed} gas`
          return yield* new Malformed({ peerId, what: "receipts", reason })
        }
        parts.push(part)
        cut = answer.lastBlockIncomplete
      }
      const whole = encodeList(parts.map((part) => RlpReader.list(part).rest()))
      yield* readable(job, () => lastCumulativeGas(whole, formOf(job))).pipe(
        Effect.filterOrFail(
          (gas) => gas === block.header.gasUsed,
          (gas) => wrongReceipts(job, block, gas),
        ),
      )
      return whole
    })
    const whole = yield* Effect.either(rest)
    if (whole._tag === "Left") {
      gate.release(held)
      return yield* fail(job, [block], whole.left)
    }
    gate.release(held - whole.right.length)
    yield* deliverBlock(job, block, whole.right)
  })

  /** Deals an answer out: blocks that are whole, one that was cut, and those that are missing. */
  const settle = Effect.fnUntraced(function* (
    job: ReceiptsJob,
    answer: ReceiptsAnswer,
    matches: ReceiptsMatches,
  ) {
    const { peerId } = job.assignment.peer
    const asked = job.blocks.length
    const cutList = answer.lastBlockIncomplete ? answer.lists.at(-1) : undefined
    const missing = { inPlace: [] as Array<HashedHeader>, passed: [] as Array<HashedHeader> }
    const beyond: Array<HashedHeader> = []
    const inPlace = answer.lists.length === asked && !answer.lastBlockIncomplete
    let kept = 0
    for (const [index, match] of matches.blocks.entries()) {
      const block = job.blocks[index]!
      if (match._tag === "Matched") {
        kept += answer.lists[match.list]!.length
        yield* deliverBlock(job, block, answer.lists[match.list]!)
      } else if (match._tag === "Lacking") missing[inPlace ? "inPlace" : "passed"].push(block)
      else beyond.push(block)
    }
    const cutBlock = cutList === undefined ? undefined : beyond.shift()
    if (cutList !== undefined) kept += cutList.length
    gate.release(answer.bytes - kept)
    if (missing.inPlace.length > 0)
      yield* fail(job, missing.inPlace, emptyAnswer(job, missing.inPlace))
    if (missing.passed.length > 0) {
      const blockNumbers = missing.passed.map((block) => block.header.number)
      yield* fail(job, missing.passed, new Skipped({ peerId, blockNumbers }))
    }
    if (answer.lists.length < asked) {
      const got = answer.lists.length
      yield* fail(job, beyond, new Truncated({ peerId, asked, got }))
    }
    if (cutBlock !== undefined && cutList !== undefined) {
      yield* continueBlock(job, cutBlock, cutList)
    }
  })

  return Effect.fnUntraced(function* (job: ReceiptsJob) {
    const outcome = yield* Effect.either(
      Effect.gen(function* () {
        const answer = yield* ask(job, job.blocks, 0)
        return yield* readMatches(job, answer).pipe(
          Effect.map((matches) => ({ answer, matches })),
          Effect.tapError(() => Effect.sync(() => gate.release(answer.bytes))),
        )
      }),
    )
    if (outcome._tag === "Left") return yield* fail(job, job.blocks, outcome.left)
    yield* settle(job, outcome.right.answer, outcome.right.matches)
  })
})

/** Matches an answer's whole lists to the blocks; fails when it is empty, broken or a lie. */
const readMatches = Effect.fnUntraced(function* (
  job: ReceiptsJob,
  answer: ReceiptsAnswer,
): Effect.fn.Return<ReceiptsMatches, FetchError> {
  const whole = answer.lastBlockIncomplete ? answer.lists.slice(0, -1) : answer.lists
  const cut = answer.lastBlockIncomplete ? answer.lists.at(-1) : undefined
  const gas = yield* readable(job, () =>
    whole.map((list) =>
      countReceipts(list) === 0 ? NO_RECEIPTS : lastCumulativeGas(list, formOf(job)),
    ),
  )
  const cutCount = yield* readable(job, () => (cut === undefined ? 0 : countReceipts(cut)))
  // EIP-7975: a server may say "incomplete" and give nothing of the block. No lie, no progress.
  const nothing = gas.every((value) => value === NO_RECEIPTS) && cutCount === 0
  if (nothing) return yield* emptyAnswer(job, job.blocks)
  const matches = matchByGas(
    job.blocks.map((block) => block.header.gasUsed),
    gas,
  )
  if (matches.foreign !== undefined) {
    return yield* wrongReceipts(job, job.blocks[0]!, gas[matches.foreign]!)
  }
  return matches
})

const formOf = (job: ReceiptsJob): ReceiptsForm => (job.assignment.peer.ethVersion === 68 ? 68 : 69)

const readable = <A>(job: ReceiptsJob, read: () => A): Effect.Effect<A, Malformed> =>
  Effect.try({
    try: read,
    catch: (error) =>
      new Malformed({
        peerId: job.assignment.peer.peerId,
        what: "receipts",
        reason: error instanceof Error ? error.message : String(error),
      }),
  })

const emptyAnswer = (job: ReceiptsJob, blocks: ReadonlyArray<HashedHeader>): EmptyAnswer =>
  new EmptyAnswer({
    peerId: job.assignment.peer.peerId,
    fromBlock: blocks[0]!.header.number,
    asked: blocks.length,
  })

const wrongReceipts = (job: ReceiptsJob, block: HashedHeader, gas: number): WrongReceipts =>
  new WrongReceipts({
    peerId: job.assignment.peer.peerId,
    blockNumber: block.header.number,
    expected: `cumulative gas ${block.header.gasUsed}`,
    actual: `cumulative gas ${gas}`,
  })
