/** Tells in the log how finding and keeping peers goes, every {@link NETWORK_LOG_MS}. */
import { Duration, Effect, Layer } from "effect"
import { networkLine } from "./networkLine.ts"
import { Stats } from "./Stats.ts"

/** How often: seldom enough not to bury what else is said. */
export const NETWORK_LOG_MS = 30_000

/** Tells as long as the Layer lives. */
export const layerNetworkLog: Layer.Layer<never, never, Stats> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const stats = yield* Stats
    yield* Effect.suspend(() => Effect.logInfo(networkLine(stats.network, stats.peersPooled))).pipe(
      Effect.delay(Duration.millis(NETWORK_LOG_MS)),
      Effect.forever,
      Effect.forkScoped,
    )
  }),
)
