/**
 * Remembers peers from one run to the next.
 *
 * In: what the run learns of its peers, through {@link PeerCacheShape.note} and from the counters.
 * Out: at the start, the entries of earlier runs, the best first. What is learned is kept in memory
 * and written every {@link FLUSH_EVERY_MS} and when the scope ends, where something changed.
 *
 *     storage ─ load ─▶ entries ─▶ candidates, bans
 *        ▲                              │ sessions
 *        └─ flush ◀─ book ◀─ facts ─────┘
 *
 * Invariants:
 * - the run never fails for its cache: what cannot be read is one warning and an empty cache, what
 *   cannot be written is one warning until it can be again, and nothing in memory is lost by it;
 * - a file is replaced as a whole or not at all, and is its owner's only;
 * - what is no cache of ours, or of another chain, is left as it is and never written.
 *
 * Where it is kept is a Layer: here in a file or nowhere, in the store by
 * `write/StorePeerCache.ts`.
 */
import { readFile, rename, rm, stat, writeFile } from "node:fs/promises"
import { Clock, Context, Data, Duration, Effect, Layer, type Scope } from "effect"
import { Chain } from "../chain/Chain.ts"
import { toHex0x } from "../domain/hex.ts"
import { Stats } from "../observe/Stats.ts"
import { bestEntries, type CacheEntry, EntryBook, type PeerFacts } from "./cacheEntries.ts"
import { decodePeerCache, encodePeerCache, isPeerCacheInvalid } from "./peerCacheFile.ts"

/** What the run remembers. Nothing of it fails. */
export interface PeerCacheShape {
  /** What earlier runs left, the best first. */
  readonly entries: ReadonlyArray<CacheEntry>
  /**
   * Takes in what was learned of a peer. The first facts of a peer have its enode, client and eth
   * version; before them, others are passed over.
   */
  readonly note: (peerId: string, facts: PeerFacts) => Effect.Effect<void>
  /** Drops a peer that will never be of use: it is on another chain. */
  readonly forget: (peerId: string) => Effect.Effect<void>
  /** Writes what changed since the last time; a failure is a warning. */
  readonly flush: Effect.Effect<void>
}

/** What is kept cannot be read. */
export class PeerCacheUnreadable extends Data.TaggedError("PeerCacheUnreadable")<{
  /** A system's code, or a few plain words. */
  readonly reason: string
  /** Whether it may be written over: it is ours and of no use as it is. */
  readonly replaceable: boolean
}> {}

/** It cannot be written: the disk, or permissions. */
export class PeerCacheUnwritable extends Data.TaggedError("PeerCacheUnwritable")<{
  /** A system's code, or a few plain words. */
  readonly reason: string
}> {}

/** Where entries are kept. */
export interface PeerStorage {
  /** For warnings: `the peer cache FILE`. */
  readonly name: string
  readonly load: Effect.Effect<ReadonlyArray<CacheEntry>, PeerCacheUnreadable>
  /** Replaces all that is kept. */
  readonly save: (entries: ReadonlyArray<CacheEntry>) => Effect.Effect<void, PeerCacheUnwritable>
}

/** How often what changed is written: a crash costs that much of what was learned. */
export const FLUSH_EVERY_MS = 30_000
/** A cache of 5,000 entries, each as long as it can be, has 12 MB. */
const MOST_FILE_BYTES = 16 * 1024 * 1024

/** See {@link PeerCacheShape}. */
export class PeerCache extends Context.Tag("annals/PeerCache")<PeerCache, PeerCacheShape>() {
  /** Remembers nothing. */
  static readonly layerNone: Layer.Layer<PeerCache> = Layer.succeed(PeerCache, {
    entries: [],
    note: () => Effect.void,
    forget: () => Effect.void,
    flush: Effect.void,
  })

  /** Keeps entries in `storage`, and takes what peers served from the counters. */
  static readonly layerWith = (storage: PeerStorage): Layer.Layer<PeerCache, never, Stats> =>
    Layer.scoped(
      PeerCache,
      Effect.suspend(() => makeCache(storage)),
    )

  /** Keeps the chain's peers in a file, which is made when there is something to write. */
  static readonly layerFile = (file: string): Layer.Layer<PeerCache, never, Stats | Chain> =>
    Layer.unwrapEffect(
      Effect.map(Chain, ({ genesisHash }) =>
        PeerCache.layerWith(fileStorage(file, toHex0x(genesisHash))),
      ),
    )
}

const makeCache = Effect.fnUntraced(function* (
  storage: PeerStorage,
): Effect.fn.Return<PeerCacheShape, never, Stats | Scope.Scope> {
  const stats = yield* Stats
  const { found, writable } = yield* load(storage)
  const entries = bestEntries(found, yield* Clock.currentTimeMillis)
  const book = new EntryBook(entries)
  const save = makeSave(storage, yield* Effect.makeSemaphore(1))

  const flush = writable
    ? Effect.flatMap(Clock.currentTimeMillis, (nowMs) => {
        book.count(stats.peers.values(), nowMs)
        return save(book, nowMs)
      })
    : Effect.void

  // Ends after the fiber below, and after all who were given this cache.
  yield* Effect.addFinalizer(() => flush)
  yield* Effect.sleep(Duration.millis(FLUSH_EVERY_MS)).pipe(
    Effect.zipRight(flush),
    Effect.forever,
    Effect.forkScoped,
  )
  return {
    entries,
    note: (peerId, facts) =>
      Effect.map(Clock.currentTimeMillis, (nowMs) => book.note(peerId, facts, nowMs)),
    forget: (peerId) => Effect.sync(() => book.forget(peerId)),
    flush,
  }
})

const load = ({ load, name }: PeerStorage) =>
  load.pipe(
    Effect.map((found) => ({ found, writable: true })),
    Effect.catchAll(({ reason, replaceable }) => {
      const follows = replaceable ? "starting without it" : "it is neither used nor changed"
      return Effect.as(Effect.logWarning(`${name} cannot be used (${reason}): ${follows}`), {
        found: [],
        writable: replaceable,
      })
    }),
  )

/** Gives the effect that writes a book, where it changed; one at a time, each to its end. */
const makeSave = ({ name, save }: PeerStorage, turn: Effect.Semaphore) => {
  let savedChanges = 0
  let failing = false
  return (book: EntryBook, nowMs: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const { changes } = book
      if (changes === savedChanges) return Effect.void
      return save(book.best(nowMs)).pipe(
        Effect.matchEffect({
          onSuccess: () =>
            Effect.sync(() => {
              savedChanges = changes
              failing = false
            }),
          onFailure: ({ reason }) => {
            const told = failing
            failing = true
            return told ? Effect.void : Effect.logWarning(`${name} cannot be written (${reason})`)
          },
        }),
      )
    }).pipe(turn.withPermits(1), Effect.uninterruptible)
}

/** A file of JSON lines, see `peerCacheFile.ts`. */
const fileStorage = (file: string, genesisHash: string): PeerStorage => ({
  name: `the peer cache ${file}`,
  load: Effect.flatMap(readText(file), (text) => {
    const result = decodePeerCache(genesisHash, text)
    if (!isPeerCacheInvalid(result)) return Effect.succeed(result)
    const { kind, reason } = result
    return new PeerCacheUnreadable({ reason, replaceable: kind === "broken" })
  }),
  save: (entries) => replaceFile(file, encodePeerCache(genesisHash, entries)),
})

/** What a file holds; nothing where there is none. */
const readText = (file: string): Effect.Effect<string, PeerCacheUnreadable> => {
  const unreadable = (reason: string) => new PeerCacheUnreadable({ reason, replaceable: false })
  return Effect.tryPromise({ try: async () => stat(file), catch: codeOf }).pipe(
    Effect.flatMap((facts) => {
      // A pipe would be waited for, a device would be replaced.
      if (!facts.isFile()) return Effect.fail("it is no regular file")
      if (facts.size > MOST_FILE_BYTES) return Effect.fail("it is too large")
      return Effect.tryPromise({ try: async () => readFile(file, "utf8"), catch: codeOf })
    }),
    Effect.catchAll((reason) => (reason === "ENOENT" ? Effect.succeed("") : unreadable(reason))),
  )
}

/** Writes a file beside it and puts that in its place. */
const replaceFile = (file: string, text: string): Effect.Effect<void, PeerCacheUnwritable> => {
  const unfinished = `${file}.${process.pid}.tmp`
  return Effect.tryPromise({
    try: async () => {
      await rm(unfinished, { force: true })
      await writeFile(unfinished, text, { mode: 0o600, flag: "wx", flush: true })
      await rename(unfinished, file)
    },
    catch: (error) => new PeerCacheUnwritable({ reason: codeOf(error) }),
  }).pipe(
    Effect.tapError(() =>
      Effect.promise(async () => rm(unfinished, { force: true }).catch(ignore)),
    ),
  )
}

const ignore = (): void => undefined

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : String(error)
