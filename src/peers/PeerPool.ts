/**
 * The peers that are connected now. Whatever finds and dials them puts them in; the scheduler
 * takes them from here. Events come in order and each exactly once, for one consumer.
 */
import { Context, Effect, Layer, Mailbox, Stream } from "effect"
import { Stats } from "../observe/Stats.ts"
import type { MeasuredHead } from "../serving/OurHead.ts"
import type { RequestKind } from "../wire/WireError.ts"
import { type Peer, type ServedRange, type Serves, servesAll, servesKind } from "./Peer.ts"

/** What happens to the pool. */
export type PeerEvent =
  | { readonly _tag: "Joined"; readonly peer: Peer; readonly serves: Serves }
  | { readonly _tag: "ServesChanged"; readonly peerId: string; readonly serves: Serves }
  | { readonly _tag: "Left"; readonly peerId: string }

/** A peer in the pool. */
export interface PooledPeer {
  readonly peer: Peer
  readonly serves: Serves
  /** Ends its session; `Left` follows when it has ended. */
  readonly drop: Effect.Effect<void>
  /** Told that the peer had nothing of a kind at a block that it was taken to serve. */
  readonly missed?: (kind: RequestKind, block: number) => void
  /** Told the peer's head where somebody else has seen it. */
  readonly sawHead?: (head: MeasuredHead) => void
}

/** See the module. */
export interface PeerPoolShape {
  /** Puts a peer in. A peer that is in already is refused with false. */
  readonly join: (entry: PooledPeer) => Effect.Effect<boolean>
  /** Takes a peer out; nothing happens when it is not in. */
  readonly leave: (peerId: string) => Effect.Effect<void>
  /** What a peer serves is now known to be this; nothing happens when it is not in. */
  readonly changed: (peerId: string, serves: Serves) => Effect.Effect<void>
  /** Whether a peer is in. */
  readonly has: (peerId: string) => boolean
  /** Whether a connected peer serves this kind of a block, as far as is known. */
  readonly serves: (peerId: string, kind: RequestKind, block: number) => boolean
  /** A peer had nothing of a kind at a block: it is measured again. */
  readonly missed: (peerId: string, kind: RequestKind, block: number) => void
  /** The header of a peer's highest block was seen in one of its answers. */
  readonly sawHead: (peerId: string, head: MeasuredHead) => void
  /** Joins, changes and leaves, from the first on. One consumer. */
  readonly events: Stream.Stream<PeerEvent>
  readonly connected: Effect.Effect<ReadonlyArray<PooledPeer>>
  /** Ends the session of a peer, for a ban. */
  readonly drop: (peerId: string) => Effect.Effect<void>
}

/**
 * Events that may wait for the consumer. Each is small; dialling waits when the scheduler has not
 * started yet and peers come and go this often.
 */
const QUEUED_EVENTS = 4_096

/** See {@link PeerPoolShape}. */
export class PeerPool extends Context.Tag("annals/PeerPool")<PeerPool, PeerPoolShape>() {
  /** An empty pool. */
  static readonly layer: Layer.Layer<PeerPool, never, Stats> = Layer.scoped(
    PeerPool,
    Effect.gen(function* () {
      const stats = yield* Stats
      const events = yield* Mailbox.make<PeerEvent>({ capacity: QUEUED_EVENTS })
      yield* Effect.addFinalizer(() => events.end)
      const entries = new Map<string, PooledPeer>()

      const join = (entry: PooledPeer): Effect.Effect<boolean> =>
        Effect.suspend(() => {
          const { peer, serves } = entry
          if (entries.has(peer.peerId)) return Effect.succeed(false)
          entries.set(peer.peerId, entry)
          stats.peersPooled = entries.size
          return Effect.as(events.offer({ _tag: "Joined", peer, serves }), true)
        })

      const leave = (peerId: string): Effect.Effect<void> =>
        Effect.suspend(() => {
          if (!entries.delete(peerId)) return Effect.void
          stats.peersPooled = entries.size
          return Effect.asVoid(events.offer({ _tag: "Left", peerId }))
        })

      const changed = (peerId: string, serves: Serves): Effect.Effect<void> =>
        Effect.suspend(() => {
          const entry = entries.get(peerId)
          if (entry === undefined) return Effect.void
          entries.set(peerId, { ...entry, serves })
          return Effect.asVoid(events.offer({ _tag: "ServesChanged", peerId, serves }))
        })

      return {
        join,
        leave,
        changed,
        has: (peerId) => entries.has(peerId),
        serves: (peerId, kind, block) => {
          const entry = entries.get(peerId)
          return entry !== undefined && servesKind(entry.serves, kind, block)
        },
        sawHead: (peerId, head) => entries.get(peerId)?.sawHead?.(head),
        missed: (peerId, kind, block) => entries.get(peerId)?.missed?.(kind, block),
        events: Mailbox.toStream(events),
        connected: Effect.sync(() => [...entries.values()]),
        drop: (peerId) => Effect.suspend(() => entries.get(peerId)?.drop ?? Effect.void),
      }
    }),
  )

  /** A pool that holds these peers from the start, for tests. */
  static readonly layerMemory = (
    peers: ReadonlyArray<{ readonly peer: Peer; readonly range: ServedRange }>,
  ): Layer.Layer<PeerPool, never, Stats> =>
    Layer.effect(
      PeerPool,
      Effect.gen(function* () {
        const pool = yield* PeerPool
        const stats = yield* Stats
        for (const { peer, range } of peers) {
          stats.sessionOpened(peer.peerId, peer.client, peer.ethVersion)
          yield* pool.join({ peer, serves: servesAll(range), drop: pool.leave(peer.peerId) })
        }
        return pool
      }),
    ).pipe(Layer.provide(PeerPool.layer))
}
