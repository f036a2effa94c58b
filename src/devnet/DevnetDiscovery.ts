/**
 * Lets a devnet peer take part in discv4, so that a devnet can be found from one bootnode as a real
 * network can: it answers on the UDP port of its TCP port's number, with a node record that has the
 * `eth` entry, and looks for the others.
 *
 * Invariant: socket and fibers end with the scope.
 */
import { Duration, Effect, type Scope } from "effect"
import type { ChainSpec } from "../chain/chainSpec.ts"
import type { Enode } from "../chain/enode.ts"
import { type ForkHead, forkIdAt } from "../chain/forkId.ts"
import { fromHex } from "../domain/hex.ts"
import type { OpenDatagrams } from "../peers/discv4/Datagrams.ts"
import {
  type Discv4Node,
  type Discv4Timing,
  randomTarget,
  startDiscv4,
} from "../peers/discv4/Discv4Node.ts"
import type { ListenError } from "../wire/WireError.ts"

/** A peer that listens already, and whom it knows. */
export interface DevnetDiscoveryOptions {
  /** The key of the peer's sessions, 32 bytes. */
  readonly privateKey: Uint8Array
  /** IPv4 address on which the peer listens. */
  readonly host: string
  /** The peer's TCP port; the UDP port has the same number. */
  readonly port: number
  readonly chain: ChainSpec
  /** The peer's head: it decides which fork id the record has. */
  readonly head: ForkHead
  /** Whom it asks first; none for the bootnode itself. */
  readonly bootnodes: ReadonlyArray<Enode>
  readonly timing?: Partial<Discv4Timing>
  /** UDP by default. */
  readonly open?: OpenDatagrams
}

/** First rest between lookups, doubled after each: a devnet is to find itself at once. */
const FIRST_REST_MS = 1_000

/** Longest rest between lookups. */
const MAX_REST_MS = 60_000

/** Makes the peer answer and search as long as the scope. Fails when the UDP port is taken. */
export const startDevnetDiscovery = (
  options: DevnetDiscoveryOptions,
): Effect.Effect<Discv4Node, ListenError, Scope.Scope> =>
  Effect.gen(function* () {
    const { chain, head, port } = options
    const forkId = forkIdAt(chain, head)
    const node = yield* startDiscv4({ ...options, tcpPort: port, forkId })
    yield* keepSearching(node).pipe(Effect.forkScoped)
    return node
  })

/** Looks for its own neighbourhood and for random targets in turn. */
const keepSearching = Effect.fnUntraced(function* (node: Discv4Node): Effect.fn.Return<never> {
  let restMs = FIRST_REST_MS
  for (;;) {
    if ((yield* node.contacts).length === 0) yield* node.join
    yield* node.lookup(fromHex(node.nodeId))
    yield* node.lookup(yield* randomTarget)
    yield* Effect.sleep(Duration.millis(restMs))
    restMs = Math.min(2 * restMs, MAX_REST_MS)
  }
})
