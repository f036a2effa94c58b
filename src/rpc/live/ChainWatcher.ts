/**
 * Watches the stored chain for those who want to be told of it.
 *
 * In: a {@link ChainReader}, whose version is looked at every {@link LOOK_EVERY_MS} while anybody is
 * told. Out: places in the chain (`chainCursor.ts`) that follow its moves, and a word to whoever
 * listens that it has moved.
 *
 * The last blocks are kept as they were stored, since what a reorganisation removes is in the store
 * no longer, and so that a new block is read once for all who are told of its logs: at most
 * {@link WINDOW_BLOCKS} of them and {@link KEPT_BYTES}, and none while nobody is told of logs.
 *
 * Invariants: one look at a time, and each sees one version of the store; a place moves only with
 * the chain or by its owner; with the last place given up, nothing is read any more.
 */
import { Context, Data, Duration, Effect, Layer, Option, type Scope } from "effect"
import { RlpError } from "../../domain/rlp.ts"
import {
  type ChainExtent,
  ChainReader,
  type ChainReaderShape,
  type LogFilter,
  type ReadFailed,
  type StoredBlock,
  type StoredLog,
} from "../ChainReader.ts"
import { afterStep, type ChainCursor, cursorAt } from "./chainCursor.ts"
import {
  type ChainStep,
  type ChainWindow,
  followChain,
  type SeenBlock,
  WINDOW_BLOCKS,
} from "./chainStep.ts"
import { RecentLogs } from "./recentLogs.ts"

/** How often the store's version is looked at. */
export const LOOK_EVERY_MS = 200
/** Bytes of blocks that are kept whole, unpacked. */
export const KEPT_BYTES = 64 * 1024 * 1024
/** Looks at a store that changes under them; then the next turn tries again. */
const MOST_LOOKS = 5
/** Blocks that are read whole in a turn beside what is new. */
const WHOLE_PER_TURN = 32

/** A block of the window. */
export interface WatchedBlock extends SeenBlock {
  /** RLP. */
  readonly header: Uint8Array
  /** As it was stored; undefined where nobody wanted it, or it was more than is kept. */
  content: StoredBlock | undefined
}

/** Somebody's place in the chain. Its owner moves it on when he has been told. */
export interface Place {
  cursor: ChainCursor<WatchedBlock>
}

/** The chain as it was last seen. */
export interface WatchedChain {
  readonly window: ChainWindow<WatchedBlock>
  readonly extent: ChainExtent
  /** The last block that is told. */
  readonly head: number | undefined
}

/** The chain changed while it was read, again and again. Nobody is to blame; the next try may go well. */
export class ChainMoving extends Data.TaggedError("ChainMoving")<{
  readonly attempts: number
}> {}

/** See the module. */
export interface ChainWatcherShape {
  /** A place at the head, until the scope ends; `logs`: its owner is told of logs. */
  readonly place: (logs: boolean) => Effect.Effect<Place, ReadFailed | ChainMoving, Scope.Scope>
  /**
   * Reads with `body` what is to be told, and gives it only when no block was removed meanwhile:
   * what was read, and the places, are of one chain. `told` moves the places on, before the chain
   * moves again, or fails and leaves them; what it gives is the answer.
   */
  readonly settled: <A, B, E>(
    body: (chain: WatchedChain) => Effect.Effect<A, E>,
    told: (read: A) => Effect.Effect<B, E>,
  ) => Effect.Effect<B, E | ReadFailed | ChainMoving>
  /**
   * The logs of a block that match, in their order; undefined where the block is not in memory, or
   * what was stored of it is damaged.
   */
  readonly logsOf: (block: WatchedBlock, filter: LogFilter) => ReadonlyArray<StoredLog> | undefined
  /** Calls `listener` after the chain has moved, until the scope ends. */
  readonly listen: (listener: () => void) => Effect.Effect<void, never, Scope.Scope>
  /** Reorganisations that were seen. */
  readonly reorgs: () => number
}

/** See {@link ChainWatcherShape}. */
export class ChainWatcher extends Context.Tag("annals/ChainWatcher")<
  ChainWatcher,
  ChainWatcherShape
>() {
  /** Watches until the scope ends. */
  static readonly layer: Layer.Layer<ChainWatcher, never, ChainReader> = Layer.suspend(() =>
    ChainWatcher.layerEvery(LOOK_EVERY_MS),
  )

  /** As {@link ChainWatcher.layer}, with another pause between two looks, and other bytes to keep. */
  static readonly layerEvery = (
    everyMs: number,
    keptBytes: number = KEPT_BYTES,
  ): Layer.Layer<ChainWatcher, never, ChainReader> =>
    Layer.scoped(ChainWatcher, makeWatcher(everyMs, keptBytes))
}

const makeWatcher = Effect.fnUntraced(function* (everyMs: number, keptBytes: number) {
  const watcher = new Watcher(yield* ChainReader, yield* Effect.makeSemaphore(1), keptBytes)
  yield* Effect.forkScoped(
    Effect.forever(
      Effect.sleep(Duration.millis(everyMs)).pipe(
        Effect.zipRight(Effect.suspend(() => watcher.turn)),
      ),
    ),
  )
  return {
    place: (logs) => watcher.place(logs),
    settled: (body, told) => watcher.settled(body, told),
    logsOf: (block, filter) => watcher.logsOf(block, filter),
    listen: (listener) => watcher.listen(listener),
    reorgs: () => watcher.reorgs,
  } satisfies ChainWatcherShape
})

const NOTHING: ChainExtent = {
  ranges: [],
  earliest: undefined,
  latest: undefined,
  highest: undefined,
  safe: undefined,
  finalized: undefined,
}

class Watcher {
  readonly #reader: ChainReaderShape
  readonly #turns: Effect.Semaphore
  readonly #keptBytes: number
  /** Places, and whether their owner is told of logs. */
  readonly #places = new Map<Place, boolean>()
  readonly #listeners = new Set<() => void>()
  #chain: WatchedChain = { window: [], extent: NOTHING, head: undefined }
  /** Of the store, when the chain was last seen; undefined: not yet, or not since all were gone. */
  #version: number | undefined
  readonly #recent = new RecentLogs()
  /** Of the window no block up to this one is kept: there is no room, until the head moves. */
  #unkeptTo = -1
  reorgs = 0

  constructor(reader: ChainReaderShape, turns: Effect.Semaphore, keptBytes: number) {
    this.#reader = reader
    this.#turns = turns
    this.#keptBytes = keptBytes
  }

  place(logs: boolean): Effect.Effect<Place, ReadFailed | ChainMoving, Scope.Scope> {
    const enter = Effect.gen(this, function* () {
      yield* this.#look
      const place: Place = { cursor: cursorAt(this.#chain.head) }
      this.#places.set(place, logs)
      yield* this.#readWhole(Infinity)
      return place
    })
    return Effect.acquireRelease(this.#turns.withPermits(1)(enter), (place) =>
      Effect.sync(() => {
        this.#places.delete(place)
        if (!this.#wantsWhole) this.#forgetWhole()
      }),
    )
  }

  settled<A, B, E>(
    body: (chain: WatchedChain) => Effect.Effect<A, E>,
    told: (read: A) => Effect.Effect<B, E>,
  ): Effect.Effect<B, E | ReadFailed | ChainMoving> {
    const turn = this.#turns.withPermits(1)
    return Effect.gen(this, function* () {
      for (let attempt = 0; attempt < MOST_LOOKS; attempt++) {
        // All of it: what is told now may be removed before the next turn.
        yield* turn(this.#lookWhole(WINDOW_BLOCKS))
        const { reorgs } = this
        const read = yield* body(this.#chain)
        const still = Effect.flatMap(this.#look, () =>
          reorgs === this.reorgs ? Effect.asSome(told(read)) : Effect.succeedNone,
        )
        const given = yield* turn(still)
        if (Option.isSome(given)) return given.value
      }
      return yield* new ChainMoving({ attempts: MOST_LOOKS })
    })
  }

  listen(listener: () => void): Effect.Effect<void, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => void this.#listeners.add(listener)),
      () => Effect.sync(() => void this.#listeners.delete(listener)),
    )
  }

  /** What is done every now and then; a store that cannot be read now may be read the next time. */
  get turn(): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.#places.size === 0
        ? Effect.void
        : this.#turns.withPermits(1)(this.#lookWhole(WHOLE_PER_TURN)),
    ).pipe(Effect.catchAll((error) => Effect.logDebug("the chain could not be looked at", error)))
  }

  get #wantsWhole(): boolean {
    return [...this.#places.values()].includes(true)
  }

  logsOf({ content }: WatchedBlock, filter: LogFilter): ReadonlyArray<StoredLog> | undefined {
    if (content === undefined) return undefined
    try {
      return this.#recent.matching(content, filter)
    } catch (error) {
      if (error instanceof RlpError) return undefined
      throw error
    }
  }

  /** As `#look`, and keeps what is new whole, at most `most` blocks of it. */
  #lookWhole(most: number): Effect.Effect<void, ReadFailed | ChainMoving> {
    return Effect.zipRight(
      this.#look,
      Effect.suspend(() => this.#readWhole(most)),
    )
  }

  /** Sees the chain as it is now. Only within a turn. */
  get #look(): Effect.Effect<void, ReadFailed | ChainMoving> {
    return Effect.gen(this, function* () {
      for (let attempt = 0; attempt < MOST_LOOKS; attempt++) {
        const version = yield* this.#reader.version
        if (version === this.#version) return
        const extent = yield* this.#reader.extent
        const following = followChain<WatchedBlock>(this.#chain.window, extent.latest)
        let asked = following.next()
        while (asked.done !== true) {
          const header = yield* this.#reader.headerAt(asked.value)
          asked = following.next(header && { ...header, content: undefined })
        }
        if (version !== (yield* this.#reader.version)) continue
        this.#version = version
        return this.#enter(extent, asked.value)
      }
      return yield* new ChainMoving({ attempts: MOST_LOOKS })
    })
  }

  #enter(extent: ChainExtent, step: ChainStep<WatchedBlock>): void {
    const before = this.#chain
    this.#unkeptTo = -1
    this.#chain = { extent, window: step.window, head: step.window.at(-1)?.blockNumber }
    if (step.removed.length > 0) {
      this.reorgs += 1
      for (const place of this.#places.keys()) place.cursor = afterStep(place.cursor, step)
    }
    if (step.removed.length === 0 && before.head === this.#chain.head) return
    for (const listener of this.#listeners) listener()
  }

  /** Keeps the blocks of the window whole, newest first, at most `most` of those that are not yet. */
  #readWhole(most: number): Effect.Effect<void, ReadFailed> {
    return Effect.gen(this, function* () {
      if (!this.#wantsWhole) return
      let bytes = 0
      let left = most
      for (const block of this.#chain.window.toReversed()) {
        if (block.blockNumber <= this.#unkeptTo) {
          block.content = undefined
          continue
        }
        if (block.content === undefined && left > 0) {
          left -= 1
          const content = yield* this.#reader.blockAt(block.blockNumber)
          // Another one stands there already: the next look will see it.
          if (content !== undefined && isSame(content, block)) block.content = content
          yield* Effect.yieldNow()
        }
        bytes += sizeOf(block.content)
        if (bytes <= this.#keptBytes) continue
        // Nor those below: what is kept is the chain's end.
        block.content = undefined
        this.#unkeptTo = block.blockNumber
      }
    })
  }

  #forgetWhole(): void {
    this.#unkeptTo = -1
    for (const block of this.#chain.window) block.content = undefined
    this.#recent.clear()
  }
}

const isSame = (a: SeenBlock, b: SeenBlock): boolean => Buffer.compare(a.hash, b.hash) === 0

const sizeOf = (content: StoredBlock | undefined): number =>
  content === undefined ? 0 : content.header.length + content.body.length + content.receipts.length
