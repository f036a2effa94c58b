/**
 * The head that we announce, and what peers are told of it: in the Status of every session, and
 * over eth/69 and later by a BlockRangeUpdate when it has moved on by 32 blocks.
 *
 * Peers ask for the header of the head that is announced to them, and drop who does not have it
 * (PROTOCOL "Staying welcome"). So it is a real one of which the header is in memory: what was
 * measured at the peers that we dialled, by the rule of `headRule.ts`. Before any was measured it is genesis.
 *
 * The fork id of our Status and the check of the peer's go by the same head. The range that we
 * announce begins at the head itself, unless an unbroken run of stored blocks leads up to it.
 */
import { Clock, Context, Duration, Effect, Layer, Queue, type Scope } from "effect"
import { Chain } from "../chain/Chain.ts"
import type { ChainSpec } from "../chain/chainSpec.ts"
import { genesisHeaderOf } from "../chain/genesisHeaders.ts"
import { genesisHead, type LocalHead, localStatus, statusMismatch } from "../chain/status.ts"
import type { BlockRange } from "../domain/blockRanges.ts"
import type { Header } from "../domain/header.ts"
import { equalBytes } from "../domain/hex.ts"
import { encodeBlockRangeUpdate, ETH } from "../wire/ethMessages.ts"
import type { Session, SessionOptions } from "../wire/Session.ts"
import { WrongNetwork } from "../wire/WireError.ts"
import { type HeadOffer, noHeads, offerHead, withdrawHead } from "./headRule.ts"

/** The header of a peer's highest block, as it was measured. */
export interface MeasuredHead {
  readonly header: Pick<Header, "number" | "timestamp">
  /** Its RLP. */
  readonly bytes: Uint8Array
  /** keccak256 of `bytes`. */
  readonly hash: Uint8Array
}

/** A header in memory. */
export type HeldHeader = Pick<HeadOffer, "number" | "bytes" | "hash">

/** What we say at the beginning of one session, and go by later in it. */
export interface Introduction extends Pick<SessionOptions, "localStatus" | "checkStatus"> {
  /**
   * To be called once the session is open: tells the peer of newer heads until the scope closes.
   * From then on its own head counts no more.
   */
  readonly follow: (session: FollowedSession) => Effect.Effect<void, never, Scope.Scope>
}

/** What is needed of a session to tell it of heads. */
export type FollowedSession = Pick<Session, "peerId" | "ethVersion" | "sendRaw">

/** See the module. */
export interface OurHeadShape {
  /** The head that is announced now. */
  readonly current: () => LocalHead
  /** The header of a block that is, or was lately, announced; by number or hash of 32 bytes. */
  readonly headerOf: (start: number | Uint8Array) => HeldHeader | undefined
  /** A peer's head was measured. Its bytes are copied. */
  readonly offer: (peerId: string, head: MeasuredHead) => Effect.Effect<void>
  /** These blocks are in the store; in place of what was said before. */
  readonly stored: (ranges: ReadonlyArray<BlockRange>) => Effect.Effect<void>
  /** What to say in a session that is to be opened: one for each. */
  readonly introduction: () => Introduction
}

/** Headers of heads that were announced are kept: a peer may ask for what it was told a while ago. */
const KEPT_HEADERS = 16
/** How far the head has to move before a peer is told again (EIP-7642). */
export const UPDATE_EVERY_BLOCKS = 32
/** Heads come in bursts, when many peers are measured: the last of a burst is told. */
const SETTLE_MS = 1_000

/** See {@link OurHeadShape}. */
export class OurHead extends Context.Tag("annals/OurHead")<OurHead, OurHeadShape>() {
  /** Begins with genesis. */
  static readonly layer: Layer.Layer<OurHead, never, Chain> = Layer.scoped(
    OurHead,
    Effect.flatMap(Chain, (chain) => makeOurHead(chain)),
  )
}

/** A session that is told of newer heads. */
interface Follower {
  readonly session: FollowedSession
  toldBlock: number
}

const makeOurHead = Effect.fnUntraced(function* (
  chain: ChainSpec,
): Effect.fn.Return<OurHeadShape, never, Scope.Scope> {
  const followers = new Set<Follower>()
  const changed = yield* Queue.sliding<void>(1)
  const kept: Array<HeldHeader> = []
  let heads = noHeads
  let stored: ReadonlyArray<BlockRange> = []
  let current = genesisHead(chain)

  const keep = (header: HeldHeader): void => {
    if (kept.some(({ hash }) => equalBytes(hash, header.hash))) return
    kept.push(header)
    if (kept.length > KEPT_HEADERS) kept.shift()
  }
  const update = (): void => {
    const { chosen } = heads
    if (chosen !== undefined) {
      keep(chosen)
      current = announced(chain, chosen)
    }
    const run = stored.find(([from, to]) => from <= current.number && current.number <= to)
    current = { ...current, earliest: run?.[0] ?? current.number }
    changed.unsafeOffer(undefined)
  }
  const genesisBytes = genesisHeaderOf(chain)
  const genesis: HeldHeader | undefined = genesisBytes && {
    number: 0,
    hash: chain.genesisHash,
    bytes: genesisBytes,
  }

  const follow = (follower: Follower): Effect.Effect<void, never, Scope.Scope> =>
    Effect.acquireRelease(
      Effect.sync(() => {
        followers.add(follower)
        changed.unsafeOffer(undefined)
      }),
      () =>
        Effect.sync(() => {
          followers.delete(follower)
          const { peerId } = follower.session
          // Two nodes may dial each other at once: one of the two sessions goes on.
          for (const { session } of followers) if (session.peerId === peerId) return
          heads = withdrawHead(heads, peerId)
          update()
        }),
    )

  yield* Queue.take(changed).pipe(
    Effect.zipRight(Effect.sleep(Duration.millis(SETTLE_MS))),
    Effect.zipRight(Effect.suspend(() => tellFollowers(followers, current))),
    Effect.forever,
    Effect.forkScoped,
  )
  return {
    current: () => current,
    headerOf: (start) => {
      const known = genesis === undefined ? kept : [genesis, ...kept]
      return known.findLast(({ number, hash }) =>
        typeof start === "number" ? number === start : equalBytes(hash, start),
      )
    },
    offer: (peerId, { header, bytes, hash }) =>
      Effect.map(Clock.currentTimeMillis, (nowMs) => {
        const { number, timestamp: time } = header
        const offer = { number, time, bytes: new Uint8Array(bytes), hash: new Uint8Array(hash) }
        heads = offerHead(heads, peerId, offer, Math.floor(nowMs / 1000))
        update()
      }),
    stored: (ranges) =>
      Effect.sync(() => {
        stored = [...ranges]
        update()
      }),
    introduction: () => introduce(chain, () => current, follow),
  }
})

const announced = (chain: ChainSpec, { number, hash, time }: HeadOffer): LocalHead => ({
  number,
  hash,
  time,
  // Blocks of today have none of their own: the sum is what it was at the Merge (EIP-3675).
  totalDifficulty: number === 0 ? 0n : (chain.finalTotalDifficulty ?? 0n),
  earliest: number,
})

const introduce = (
  chain: ChainSpec,
  current: () => LocalHead,
  follow: (follower: Follower) => Effect.Effect<void, never, Scope.Scope>,
): Introduction => {
  // The head may move on between our Status and the peer's: both go by the one that we said.
  let said = current()
  return {
    localStatus: (version) => {
      said = current()
      return localStatus(chain, said, version)
    },
    checkStatus: (status) => {
      const mismatch = statusMismatch(chain, said, status)
      return mismatch === undefined ? undefined : new WrongNetwork(mismatch)
    },
    follow: (session) => follow({ session, toldBlock: said.number }),
  }
}

const tellFollowers = (followers: Iterable<Follower>, head: LocalHead): Effect.Effect<void> => {
  const update = encodeBlockRangeUpdate({
    earliestBlock: head.earliest,
    latestBlock: head.number,
    latestBlockHash: head.hash,
  })
  return Effect.forEach(
    followers,
    (follower) => {
      const { session, toldBlock } = follower
      const moved = Math.abs(head.number - toldBlock)
      if (session.ethVersion < 69 || moved < UPDATE_EVERY_BLOCKS) return Effect.void
      follower.toldBlock = head.number
      return session.sendRaw(ETH.blockRangeUpdate, update)
    },
    { discard: true },
  )
}
