/**
 * The top of the stored chain, and the blocks that are on their way to it.
 *
 * In: a target, which is a path of blocks above a stored one, with their hashes; checked blocks as they
 * land. Out: commits. A target that extends the chain is committed as far as it has come without a
 * gap; one that replaces blocks only when all of it is there, in one transaction.
 *
 * ```
 *   retarget ─▶ Scheduler ─▶ fetch ═▶ checks ═▶ land ─▶ held ─▶ Store.replace ─▶ done
 *                  ▲                             │ of another branch
 *                  └────────── withdrawn ────────┘
 * ```
 *
 * Invariants:
 * - T1  What is committed is the target's path, hash by hash, above a block that was stored.
 * - T2  Stored blocks go only in the transaction in which all of the path that replaces them comes. So
 *       while a range is fetched, a child of the stored tip that names another parent goes back.
 * - T3  At most the target's blocks are held, none twice; a target has at most
 *       {@link MOST_TARGET_BLOCKS}. Their bytes are not in the `ByteGate`: a branch that is waited
 *       for must not starve the fetching of what it lacks.
 * - T4  One change at a time: a target is not replaced in the middle of a commit.
 */
import { Clock, Context, Effect, Layer } from "effect"
import { BlockRanges } from "../domain/blockRanges.ts"
import { readHeader } from "../domain/header.ts"
import { fromHex, toHex } from "../domain/hex.ts"
import { ByteGate } from "../fetch/ByteGate.ts"
import { IngestStats } from "../observe/IngestStats.ts"
import { Terminal } from "../observe/Terminal.ts"
import type { ProcessedBlock } from "../process/Processor.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import { OurHead } from "../serving/OurHead.ts"
import { Landing } from "../write/Landing.ts"
import type { BlockPayload } from "../write/rows.ts"
import { Store } from "../write/Store.ts"
import type { StoreError } from "../write/StoreError.ts"
import type { ReplaceResult, TrustedHash, TrustedMarks } from "../write/storeProtocol.ts"
import type { BlockId, StoredTop } from "./headerTree.ts"
import { SyncState } from "./SyncState.ts"
import { standing, type Target } from "./target.ts"

/** See the module. */
export interface ChainTopShape {
  readonly top: () => StoredTop
  readonly target: () => Target | undefined
  /** Blocks of the target that are not there yet. */
  readonly missing: () => BlockRanges
  /** All that is stored, in the run and elsewhere. */
  readonly stored: () => BlockRanges
  /** Whether a block of the path was refused by the store: it is not to be tried again. */
  readonly isBarred: (path: ReadonlyArray<BlockId>) => boolean
  /** Blocks of the range are written as they come, until it ends; the target is given up. */
  readonly beginRange: (blocks: BlockRanges) => Effect.Effect<void>
  /** Blocks that came right above the tip, since the range began, and are no children of it. */
  readonly strangers: () => number
  /** The range is over, whole or not: reads from the store what is there. */
  readonly endRange: Effect.Effect<void, StoreError>
  /** Wants this in place of what was wanted; a target whose ancestor is not stored (any more): nothing. */
  readonly retarget: (target: Target | undefined) => Effect.Effect<void>
  /** What a trusted head says; noted with the next commit, or at once when there is nothing to wait for. */
  readonly mark: (marks: TrustedMarks) => Effect.Effect<void, StoreError>
}

/** See {@link ChainTopShape}. */
export class ChainTop extends Context.Tag("annals/ChainTop")<ChainTop, ChainTopShape>() {
  /** Of a run from `startBlock` on that keeps `windowBlocks` of hashes. */
  static readonly layer = (
    startBlock: number,
    windowBlocks: number,
  ): Layer.Layer<
    ChainTop | Landing,
    StoreError,
    Store | Scheduler | ByteGate | IngestStats | OurHead | SyncState | Terminal
  > =>
    Layer.effectContext(
      Effect.map(makeChainTop(startBlock, windowBlocks), ({ chainTop, landing }) =>
        Context.make(ChainTop, chainTop).pipe(Context.add(Landing, landing)),
      ),
    )
}

/** A block that has landed. */
interface Held {
  readonly block: ProcessedBlock
  readonly payload: BlockPayload
}

const NO_MARKS: TrustedMarks = { safe: undefined, finalized: undefined }
/** Refused blocks that are remembered. */
const MOST_BARRED = 64

const makeChainTop = Effect.fnUntraced(function* (startBlock: number, windowBlocks: number) {
  const store = yield* Store
  const scheduler = yield* Scheduler
  const gate = yield* ByteGate
  const stats = yield* IngestStats
  const ourHead = yield* OurHead
  const state = yield* SyncState
  const terminal = yield* Terminal
  const turns = yield* Effect.makeSemaphore(1)
  const held = new Map<number, Held>()
  const barred = new Set<string>()
  let stored = BlockRanges.fromRanges(store.opened.covered["payloads"] ?? [])
  let top: StoredTop = {
    tip: startBlock - 1,
    floor: startBlock - 1,
    floorIsOpen: true,
    hashes: new Map(),
  }
  let target: Target | undefined
  /** The range that is fetched; undefined while the head is followed. */
  let range: BlockRanges | undefined
  let strangers = 0
  let marks = NO_MARKS
  let noted = NO_MARKS

  /** The stored run may begin below the start block: what is there may be replaced as well. */
  const topOf = (tip: number, hashes: ReadonlyMap<number, string>): StoredTop => {
    const lowest = runStart(stored, tip)
    const floor = Math.max(tip - windowBlocks, lowest - 1)
    const kept = [...hashes].filter(([number]) => number >= floor && number <= tip)
    return { tip, floor, floorIsOpen: floor < lowest, hashes: new Map(kept) }
  }

  const readTop = Effect.gen(function* () {
    const { tip, floor } = topOf(Math.max(stored.runEnd(startBlock), startBlock - 1), new Map())
    const blocks = stored.has(tip) ? yield* store.hashes([Math.max(floor, 0), tip]) : []
    top = topOf(tip, new Map(blocks.map(({ blockNumber, hash }) => [blockNumber, toHex(hash)])))
    yield* state.update({ storedBlock: tip })
  })

  /** Takes on what is stored after a commit; reads what it does not know of it. */
  const riseTo = Effect.fnUntraced(function* (head: number, hashes: ReadonlyMap<number, string>) {
    const tip = stored.runEnd(head)
    top = topOf(tip, hashes)
    const { floor, floorIsOpen } = top
    // Pieces above join the run; below a lower tip the window reaches further down than before.
    if (tip > head || !(floorIsOpen || top.hashes.has(floor))) yield* readTop
  })

  /** The blocks of the target that can be committed now. */
  const ready = (): ReadonlyArray<Held> => {
    if (target === undefined) return []
    const blocks: Array<Held> = []
    for (const { number } of target.path) {
      const block = held.get(number)
      if (block === undefined) break
      blocks.push(block)
    }
    return target.ancestor < top.tip && blocks.length < target.path.length ? [] : blocks
  }

  const commit = Effect.gen(function* () {
    const blocks = ready()
    if (target === undefined || blocks.length === 0) return
    const { ancestor, path } = target
    const depth = top.tip - ancestor
    const ancestorKey = top.hashes.get(ancestor)
    const payloads = blocks.map(({ payload }) => payload)
    const told = marks
    const result = yield* store.replace(
      {
        ancestor,
        ancestorHash: ancestorKey === undefined ? undefined : fromHex(ancestorKey),
        blocks: payloads,
        noticedAtMs: depth > 0 ? yield* Clock.currentTimeMillis : undefined,
        marks: told,
      },
      payloads.map(bufferOf),
    )
    if (result.outcome === "refused") return yield* giveUp(result, path.slice(0, blocks.length))
    noted = told
    const { number: head, key: headKey } = path[blocks.length - 1]!
    const hashes = [...top.hashes].filter(([number]) => number <= ancestor)
    const fresh = path.slice(0, blocks.length).map(({ number, key }) => [number, key] as const)
    for (const [from, to] of result.gone) stored = stored.remove(from, to)
    stored = stored.add(ancestor + 1, head)
    yield* riseTo(head, new Map([...hashes, ...fresh]))
    target = { ancestor: head, ancestorKey: headKey, path: path.slice(blocks.length) }
    for (const { block } of blocks) {
      held.delete(block.blockNumber)
      scheduler.done(block)
    }
    // They may become work again, and whatever is still out of them is not wanted any more.
    yield* scheduler.forget(BlockRanges.of(ancestor + 1, head))
    if (top.tip > head) yield* aim(standing(top, target))
    stats.replaced(blocks.length, result)
    const { reorgs } = state.facts()
    yield* state.update({ storedBlock: top.tip, reorgs: depth > 0 ? reorgs + 1 : reorgs })
    yield* ourHead.stored([...stored.ranges()])
    if (depth > 0) {
      const line = `annals: the chain went another way: ${depth} blocks, ${ancestor + 1} to ${ancestor + depth}, made way for ${ancestor + 1} to ${head}`
      yield* terminal.log(line)
    }
  })

  /** The store stands by what it has: nobody is asked for this branch again. */
  const giveUp = Effect.fnUntraced(function* (
    { reason, blockNumber }: Extract<ReplaceResult, { readonly outcome: "refused" }>,
    path: ReadonlyArray<BlockId>,
  ) {
    const line = `annals: blocks ${path[0]!.number} to ${path.at(-1)!.number} of the peers do not fit the store (${reason} at block ${blockNumber}); they are not taken`
    yield* terminal.log(line, "warning")
    const refused = path.find(({ number }) => number === blockNumber)
    // A stored piece above the path stands against its head; what the ancestor is stands against all.
    const culprit = refused ?? (blockNumber > path.at(-1)!.number ? path.at(-1)! : path[0]!)
    barred.add(culprit.key)
    for (const oldest of barred) {
      if (barred.size <= MOST_BARRED) break
      barred.delete(oldest)
    }
    yield* aim(undefined)
  })

  /** Makes the scheduler want what the target lacks, and nothing else of what was wanted before. */
  const aim = Effect.fnUntraced(function* (next: Target | undefined) {
    const before = keysOf(target)
    const after = keysOf(next)
    const gone = [...before].filter(([number, key]) => after.get(number) !== key)
    const come = [...after].filter(([number, key]) => before.get(number) !== key)
    for (const [number] of gone) held.delete(number)
    target = next
    const forgotten = rangesOf([...gone, ...come])
    if (forgotten.count > 0) yield* scheduler.forget(forgotten)
    if (come.length > 0) yield* scheduler.want(rangesOf(come), true)
  })

  const land = (block: ProcessedBlock, payload: BlockPayload) =>
    turns.withPermits(1)(
      Effect.gen(function* () {
        gate.release(block.heldBytes)
        const { blockNumber, senders } = block
        if (range !== undefined) {
          strangers += 1
          return yield* scheduler.withdrawn(blockNumber, senders.header.peerId)
        }
        const wanted = target?.path[blockNumber - target.ancestor - 1]
        if (wanted === undefined || held.has(blockNumber)) {
          return yield* scheduler.forget(BlockRanges.of(blockNumber, blockNumber))
        }
        if (wanted.key !== toHex(payload.hash)) {
          return yield* scheduler.withdrawn(blockNumber, senders.header.peerId)
        }
        held.set(blockNumber, { block, payload: ownCopy(payload) })
        yield* commit
      }),
    )

  yield* readTop
  const chainTop: ChainTopShape = {
    top: () => top,
    target: () => target,
    missing: () => rangesOf([...keysOf(target)].filter(([number]) => !held.has(number))),
    stored: () => stored,
    isBarred: (path) => barred.size > 0 && path.some(({ key }) => barred.has(key)),
    strangers: () => strangers,
    beginRange: (blocks) =>
      turns.withPermits(1)(
        Effect.gen(function* () {
          yield* aim(undefined)
          range = blocks
          strangers = 0
          yield* scheduler.forget(blocks)
          yield* scheduler.want(blocks, false)
        }),
      ),
    endRange: turns.withPermits(1)(
      Effect.gen(function* () {
        if (range !== undefined) yield* scheduler.forget(range)
        range = undefined
        // What is written is in the account of the store once it is committed.
        yield* store.flush
        const { datasets } = yield* store.status
        const payloads = datasets.find(({ name }) => name === "payloads")
        stored = BlockRanges.fromRanges(payloads?.ranges ?? [])
        yield* readTop
        yield* ourHead.stored([...stored.ranges()])
      }),
    ),
    retarget: (next) =>
      turns.withPermits(1)(
        Effect.suspend(() => {
          if (next === undefined) return aim(undefined)
          const above = standing(top, next)
          return above === undefined ? Effect.void : aim(above)
        }),
      ),
    mark: (next) =>
      turns.withPermits(1)(
        Effect.gen(function* () {
          marks = next
          if (sameMarks(marks, noted) || (target !== undefined && target.path.length > 0)) return
          const key = top.hashes.get(top.tip)
          if (key === undefined) return
          yield* store.replace({
            ancestor: top.tip,
            ancestorHash: fromHex(key),
            blocks: [],
            noticedAtMs: undefined,
            marks,
          })
          noted = marks
        }),
      ),
  }
  /** In a range all is written as it comes, but what would put out the stored tip. */
  const takes = ({ blockNumber, header }: BlockPayload): boolean => {
    if (range === undefined) return true
    const key = blockNumber === top.tip + 1 ? top.hashes.get(top.tip) : undefined
    return key !== undefined && toHex(readHeader(header).parentHash) !== key
  }
  const landing = { takes, land }
  return { chainTop, landing }
})

/** The first block of the stored run that ends with `tip`; one above it where that is not stored. */
const runStart = (stored: BlockRanges, tip: number): number => {
  for (const [from, to] of stored.ranges()) if (from <= tip && to >= tip) return from
  return tip + 1
}

const keysOf = (target: Target | undefined): ReadonlyMap<number, string> =>
  new Map(target?.path.map(({ number, key }) => [number, key]))

const rangesOf = (blocks: ReadonlyArray<readonly [number, unknown]>): BlockRanges =>
  BlockRanges.fromRanges(blocks.map(([number]) => [number, number]))

/** A payload over a buffer of its own, which nobody else looks at. */
const ownCopy = ({ blockNumber, hash, header, body, receipts }: BlockPayload): BlockPayload => {
  const bytes = new Uint8Array(hash.length + header.length + body.length + receipts.length)
  let at = 0
  const copied = (part: Uint8Array): Uint8Array => {
    bytes.set(part, at)
    at += part.length
    return bytes.subarray(at - part.length, at)
  }
  return {
    blockNumber,
    hash: copied(hash),
    header: copied(header),
    body: copied(body),
    receipts: copied(receipts),
  }
}

const bufferOf = ({ header }: BlockPayload): ArrayBuffer => {
  const { buffer } = header
  if (buffer instanceof ArrayBuffer) return buffer
  throw new TypeError("a payload over shared memory")
}

const sameMarks = (a: TrustedMarks, b: TrustedMarks): boolean =>
  sameMark(a.safe, b.safe) && sameMark(a.finalized, b.finalized)

const sameMark = (a: TrustedHash | undefined, b: TrustedHash | undefined): boolean =>
  a === undefined || b === undefined
    ? a === b
    : a.blockNumber === b.blockNumber && toHex(a.hash) === toHex(b.hash)
