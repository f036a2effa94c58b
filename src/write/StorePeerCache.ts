/**
 * The peer cache in the store: the table `peers`, through the {@link Store}, whose chain it is.
 * A row that is no peer makes the whole table one that cannot be used; it is replaced at the next
 * flush.
 */
import { Effect, Layer } from "effect"
import type { Stats } from "../observe/Stats.ts"
import type { CacheEntry } from "../peers/cacheEntries.ts"
import {
  PeerCache,
  PeerCacheUnreadable,
  PeerCacheUnwritable,
  type PeerStorage,
} from "../peers/PeerCache.ts"
import { entryOfRecord, recordOfEntry } from "../peers/peerCacheFile.ts"
import { Store, type StoreShape } from "./Store.ts"

/** Keeps entries in the store, which has to be open to be written and stay so until the end. */
export const layerStorePeerCache: Layer.Layer<PeerCache, never, Store | Stats> = Layer.unwrapEffect(
  Effect.map(Store, (store) => PeerCache.layerWith(storeStorage(store))),
)

const storeStorage = (store: StoreShape): PeerStorage => ({
  name: "the peer cache in the store",
  load: store.readPeers.pipe(
    Effect.mapError(({ message }) => message),
    Effect.flatMap((records) => {
      const entries: Array<CacheEntry> = []
      for (const record of records) {
        const entry = entryOfRecord(record)
        if (entry === undefined) return Effect.fail("a row is no peer")
        entries.push(entry)
      }
      return Effect.succeed(entries)
    }),
    // It is the store's own table: what is in it is ours to replace.
    Effect.mapError((reason) => new PeerCacheUnreadable({ reason, replaceable: true })),
  ),
  save: (entries) =>
    store
      .writePeers(entries.map(recordOfEntry))
      .pipe(Effect.mapError(({ message }) => new PeerCacheUnwritable({ reason: message }))),
})
