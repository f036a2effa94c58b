/**
 * Opens a session with a node: over the wire in the program, from memory in a test.
 */
import { Context, Effect, Layer, type Scope } from "effect"
import { Chain } from "../chain/Chain.ts"
import type { Enode } from "../chain/enode.ts"
import { genesisHead, localStatus, statusMismatch } from "../chain/status.ts"
import { fromHex } from "../domain/hex.ts"
import { ByteGate } from "../fetch/ByteGate.ts"
import { type Session, openSession } from "../wire/Session.ts"
import { type SessionOpenError, WrongNetwork } from "../wire/WireError.ts"

/** See the module. */
export interface PeerConnectorShape {
  /** A session that lives as long as the scope. */
  readonly connect: (enode: Enode) => Effect.Effect<Session, SessionOpenError, Scope.Scope>
}

/** Who we are in our sessions. */
export interface Identity {
  /** secp256k1 key, 32 bytes. */
  readonly privateKey: Uint8Array
  /** Our name in hello. */
  readonly clientId: string
}

/** See {@link PeerConnectorShape}. */
export class PeerConnector extends Context.Tag("annals/PeerConnector")<
  PeerConnector,
  PeerConnectorShape
>() {
  /** Sessions over TCP, on every version of eth that we speak. */
  static readonly layer = (
    identity: Identity,
  ): Layer.Layer<PeerConnector, never, Chain | ByteGate> =>
    Layer.effect(
      PeerConnector,
      Effect.gen(function* () {
        const chain = yield* Chain
        const gate = yield* ByteGate
        // We hold no blocks yet: announcing more than genesis would be asked for and missed.
        const head = genesisHead(chain)
        return {
          connect: (enode) =>
            openSession(
              { host: enode.host, port: enode.tcpPort, nodeId: fromHex(enode.nodeId) },
              {
                ...identity,
                listenPort: 0,
                ethVersions: [68, 69, 70],
                admitFrame: gate.admitFrame,
                localStatus: (version) => localStatus(chain, head, version),
                checkStatus: (status) => {
                  const mismatch = statusMismatch(chain, head, status)
                  return mismatch === undefined ? undefined : new WrongNetwork(mismatch)
                },
              },
            ),
        }
      }),
    )
}
