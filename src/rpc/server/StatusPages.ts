/**
 * What the server says of itself: `/health`, `/ready`, `/status`, `/metrics`.
 *
 * In: the store, and how the sync stands that fills it, where one does. Out: texts.
 */
import { Clock, Context, Duration, Effect, Layer } from "effect"
import { toHex0x } from "../../domain/hex.ts"
import { metricsText, setReadings } from "../../observe/Metrics.ts"
import type { SyncReport } from "../../observe/syncReport.ts"
import { type ChainExtent, ChainReader, type ChainReaderShape } from "../ChainReader.ts"
import { ChainWatcher } from "../live/ChainWatcher.ts"
import { Slots } from "../live/Slots.ts"
import { notReady } from "./readiness.ts"

/** What is known beside the store. */
export interface StatusSources {
  readonly clientVersion: string
  /** Whether a sync runs that fills the store. */
  readonly syncs: boolean
  /** How it stands; undefined where none runs, or it has not said it lately. */
  readonly report: () => SyncReport | undefined
  /** The sync's own metrics as text; empty where there are none. */
  readonly syncMetrics: Effect.Effect<string>
  readonly connections: () => number
  readonly webSockets: () => number
  readonly heldBytes: () => number
}

/** A page: a status of HTTP, and a text. */
export interface Page {
  readonly status: 200 | 503
  readonly text: string
}

/** See the module. */
export interface StatusPagesShape {
  /** 503 until the store is caught up; the text says what is lacking. */
  readonly ready: Effect.Effect<Page>
  /** JSON. */
  readonly status: Effect.Effect<Page>
  /** Prometheus' text. */
  readonly metrics: Effect.Effect<Page>
}

/** Ranges of stored blocks that the status names; more are only counted. */
const MOST_RANGES = 100
/** How long the index is waited for; then how far it reaches is left out. */
const INDEX_MS = 500
/** How long the sync's metrics are waited for. */
const SYNC_METRICS_MS = 1_000

/** See {@link StatusPagesShape}. */
export class StatusPages extends Context.Tag("annals/rpc/StatusPages")<
  StatusPages,
  StatusPagesShape
>() {
  /** Of the store that is there. */
  static readonly layer = (
    sources: StatusSources,
  ): Layer.Layer<StatusPages, never, ChainReader | ChainWatcher | Slots> =>
    Layer.effect(
      StatusPages,
      Effect.gen(function* () {
        const reader = yield* ChainReader
        const watcher = yield* ChainWatcher
        const slots = yield* Slots
        const startedMs = yield* Clock.currentTimeMillis
        const counts = Effect.sync(() => ({
          connections: sources.connections(),
          webSockets: sources.webSockets(),
          filters: slots.taken(),
          heldBytes: sources.heldBytes(),
          reorgsSeen: watcher.reorgs(),
        }))
        return {
          ready: Effect.map(reader.extent, (extent) => {
            const lacking = notReady(extent, sources)
            return lacking === undefined ? page("ready") : unavailable(`not ready: ${lacking}`)
          }).pipe(orUnavailable),
          status: Effect.gen(function* () {
            const nowMs = yield* Clock.currentTimeMillis
            const store = yield* storeStatus(reader)
            const { connections, webSockets, filters } = yield* counts
            return page(
              JSON.stringify({
                version: sources.clientVersion,
                uptime_seconds: Math.floor((nowMs - startedMs) / 1000),
                ready: notReady(store.extent, sources) === undefined,
                network: reader.chain.network,
                chain_id: reader.chain.chainId,
                genesis_hash: toHex0x(reader.chain.genesisHash),
                store: store.json,
                sync: sources.report() ?? null,
                connections,
                websockets: webSockets,
                filters,
              }),
            )
          }).pipe(orUnavailable),
          metrics: Effect.gen(function* () {
            const { extent, unindexed } = yield* storeStatus(reader)
            yield* setReadings({
              ...(yield* counts),
              storedBlocks: blockCount(extent),
              earliestBlock: extent.earliest,
              latestBlock: extent.latest,
              unindexedBlocks: unindexed,
            })
            const own = yield* metricsText({
              version: sources.clientVersion,
              network: reader.chain.network,
            })
            const theirs = yield* sources.syncMetrics.pipe(
              Effect.timeoutTo({
                duration: Duration.millis(SYNC_METRICS_MS),
                onSuccess: (text) => text,
                onTimeout: () => "",
              }),
            )
            return page(own + theirs)
          }).pipe(orUnavailable),
        }
      }),
    )
}

const page = (text: string): Page => ({ status: 200, text: `${text.trimEnd()}\n` })
const unavailable = (text: string): Page => ({ status: 503, text: `${text}\n` })

const orUnavailable = <E>(made: Effect.Effect<Page, E>): Effect.Effect<Page> =>
  Effect.catchAll(made, () => Effect.succeed(unavailable("the stored history cannot be read")))

const storeStatus = Effect.fnUntraced(function* (reader: ChainReaderShape) {
  const extent = yield* reader.extent
  // No transaction has this hash: what is answered is how far the index reaches.
  const unindexed = yield* reader.placeOf(new Uint8Array(32)).pipe(
    Effect.as(0),
    Effect.catchTag("IndexBehind", ({ blocks }) => Effect.succeed(blocks)),
    // It waits its turn behind long queries, which nobody should who only looks in.
    Effect.timeoutTo({
      duration: Duration.millis(INDEX_MS),
      onSuccess: (blocks) => blocks,
      onTimeout: () => undefined,
    }),
  )
  const { ranges, earliest, latest, highest, safe, finalized } = extent
  const json = {
    blocks: blockCount(extent),
    earliest: earliest ?? null,
    latest: latest ?? null,
    highest: highest ?? null,
    safe: safe ?? null,
    finalized: finalized ?? null,
    range_count: ranges.length,
    ranges: ranges.slice(0, MOST_RANGES),
    unindexed_blocks: unindexed ?? null,
  }
  return { extent, unindexed, json }
})

const blockCount = ({ ranges }: ChainExtent): number =>
  ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0)
