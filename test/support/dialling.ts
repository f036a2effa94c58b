/** The real way from an address to the pool, over TCP on loopback, for tests of bad peers. */
import { randomBytes } from "node:crypto"
import { Duration, Effect, Layer } from "effect"
import { Chain } from "../../src/chain/Chain.ts"
import type { Enode } from "../../src/chain/enode.ts"
import { generatedChainSpec } from "../../src/devnet/generatedChain.ts"
import { Blame } from "../../src/fetch/Blame.ts"
import { ByteGate } from "../../src/fetch/ByteGate.ts"
import { Stats } from "../../src/observe/Stats.ts"
import { Dialer } from "../../src/peers/Dialer.ts"
import { PeerCache } from "../../src/peers/PeerCache.ts"
import { PeerConnector } from "../../src/peers/PeerConnector.ts"
import { PeerKeeper } from "../../src/peers/PeerKeeper.ts"
import { PeerPool } from "../../src/peers/PeerPool.ts"
import { PeerSource } from "../../src/peers/PeerSource.ts"
import { Reputation } from "../../src/peers/Reputation.ts"
import { OurHead } from "../../src/serving/OurHead.ts"
import { Settings, type SettingsShape } from "../../src/Settings.ts"
import type { OpeningDeadlines } from "../../src/wire/limits.ts"

/** The chain that we say we are on. */
export const ourChain = generatedChainSpec()

export interface DiallingOptions {
  readonly enodes: ReadonlyArray<Enode>
  readonly deadlines?: Partial<OpeningDeadlines>
  readonly settings?: Partial<SettingsShape>
  /** Put around the connector, to hold dials back. */
  readonly around?: (connector: PeerConnector["Type"]) => PeerConnector["Type"]
}

/** Dials these nodes, within these deadlines, and keeps who answers. */
export const dialling = ({ enodes, deadlines, settings, around }: DiallingOptions) => {
  const identity = { privateKey: new Uint8Array(randomBytes(32)), clientId: "test" }
  const tcp = PeerConnector.layer(identity, deadlines)
  const connector =
    around === undefined
      ? tcp
      : Layer.provide(Layer.effect(PeerConnector, Effect.map(PeerConnector, around)), tcp)
  return Dialer.layerCached.pipe(
    Layer.provide(PeerSource.layerStatic(enodes)),
    Layer.provide(connector),
    Layer.provideMerge(PeerKeeper.layer),
    Layer.provideMerge(Blame.layer),
    Layer.provideMerge(
      Layer.mergeAll(ByteGate.layer, Reputation.layerCached, PeerPool.layer, OurHead.layer),
    ),
    Layer.provideMerge(PeerCache.layerNone),
    Layer.provideMerge(
      Layer.mergeAll(
        Stats.layer,
        Chain.layer(ourChain),
        Settings.layer({ redialMs: 20, maxRedialMs: 100, ...settings }),
      ),
    ),
  )
}

/** Looks until something holds, for 10 s at the most. */
export const until = <E, R>(condition: Effect.Effect<boolean, E, R>) =>
  condition.pipe(
    Effect.tap((holds) => (holds ? Effect.void : Effect.sleep(Duration.millis(5)))),
    Effect.repeat({ until: (holds) => holds }),
    Effect.timeout(Duration.seconds(10)),
    Effect.orDie,
  )
