/**
 * Opens a session with a node: over the wire in the program, from memory in a test.
 */
import { Context, Effect, Layer, type Scope } from "effect"
import type { Chain } from "../chain/Chain.ts"
import type { Enode } from "../chain/enode.ts"
import { fromHex } from "../domain/hex.ts"
import type { ByteGate } from "../fetch/ByteGate.ts"
import type { Stats } from "../observe/Stats.ts"
import { HistoryAnswers } from "../serving/HistoryAnswers.ts"
import { HistoryReader } from "../serving/HistoryReader.ts"
import { OurHead } from "../serving/OurHead.ts"
import type { OpeningDeadlines } from "../wire/limits.ts"
import { type Session, openSession } from "../wire/Session.ts"
import type { SessionOpenError } from "../wire/WireError.ts"
import { Inbound } from "./Inbound.ts"
import { type Identity, makeOurSide } from "./OurSide.ts"

export type { Identity } from "./OurSide.ts"

/** See the module. */
export interface PeerConnectorShape {
  /** A session that lives as long as the scope. */
  readonly connect: (enode: Enode) => Effect.Effect<Session, SessionOpenError, Scope.Scope>
}

/** See {@link PeerConnectorShape}. */
export class PeerConnector extends Context.Tag("annals/PeerConnector")<
  PeerConnector,
  PeerConnectorShape
>() {
  /**
   * Sessions over TCP, on every version of eth that we speak, opened within the deadlines. Peers are
   * answered, told our head, and told the port where we listen.
   */
  static readonly layerServing = (
    identity: Identity,
    deadlines: Partial<OpeningDeadlines> = {},
  ): Layer.Layer<PeerConnector, never, ByteGate | HistoryAnswers | OurHead | Inbound> =>
    Layer.effect(
      PeerConnector,
      Effect.gen(function* () {
        const { port } = yield* Inbound
        const ourSide = yield* makeOurSide(identity, () => port)
        return {
          connect: (enode) =>
            Effect.suspend(() => {
              const { options, follow } = ourSide()
              return openSession(
                { host: enode.host, port: enode.tcpPort, nodeId: fromHex(enode.nodeId) },
                { ...options, deadlines },
              ).pipe(Effect.tap(follow))
            }),
        }
      }),
    )

  /** As {@link PeerConnector.layerServing}, of a node that holds nothing and listens nowhere. */
  static readonly layer = (
    identity: Identity,
    deadlines: Partial<OpeningDeadlines> = {},
  ): Layer.Layer<PeerConnector, never, Chain | ByteGate | Stats> =>
    PeerConnector.layerServing(identity, deadlines).pipe(
      Layer.provide(HistoryAnswers.layer),
      Layer.provide(Layer.mergeAll(HistoryReader.layerNone, OurHead.layer, Inbound.layerNone)),
    )
}
