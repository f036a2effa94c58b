/**
 * The peers of earlier runs as a source of candidates, the best first; it ends when all are named.
 * Those whose ban still runs are named too, as the last: when they may be dialled is the dialler's
 * business.
 */
import { Context, Effect, Layer, Stream } from "effect"
import type { CacheEntry } from "./cacheEntries.ts"
import { PeerCache } from "./PeerCache.ts"
import type { Candidate, PeerSourceShape } from "./PeerSource.ts"

/** See the module. */
export class CacheSource extends Context.Tag("annals/CacheSource")<CacheSource, PeerSourceShape>() {
  /** The source that names these entries, in their order. */
  static readonly fixed = (entries: ReadonlyArray<CacheEntry>): PeerSourceShape => ({
    candidates: Stream.fromIterable(entries).pipe(
      Stream.map(({ enode }): Candidate => ({ enode, source: "cache" })),
    ),
    description: entries.length === 0 ? "no peer was known" : `${entries.length} known peers`,
  })

  /** Names what the cache held at the start. */
  static readonly layer: Layer.Layer<CacheSource, never, PeerCache> = Layer.effect(
    CacheSource,
    Effect.map(PeerCache, ({ entries }) => CacheSource.fixed(entries)),
  )
}
