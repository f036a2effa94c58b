/**
 * Asks the peers for the headers above the stored tip, again and again, and knows of each how its head
 * leads down to the stored chain.
 *
 * In: the peers of the pool that we dialled (anyone can dial us, as often as they like) and those that
 * are trusted. Out: a {@link PeerView} of each, and of each trusted one that is not there, since its say
 * is nobody's. A peer is asked every `everyMs`, and at once when it
 * announces another head (BlockRangeUpdate, EIP-7642). Mostly that is one small answer: the header of
 * our tip and those above it. Where its chain is another one, the headers below are asked for by hash,
 * down to the rollback window at most.
 *
 * What a peer is seen to have tells its session's keeper its head. A failure is struck as any other;
 * a peer that has nothing new is none.
 *
 * Invariants: of each peer one question at a time, each with a deadline; at most {@link MOST_WATCHED}
 * peers, chosen by `watchChoice.ts`; what is remembered of headers is bounded by the {@link HeaderTree}.
 */
import { Clock, Effect, FiberSet, type Scope } from "effect"
import { readHeader } from "../domain/header.ts"
import { fromHex, toHex } from "../domain/hex.ts"
import { keccak256 } from "../domain/keccak.ts"
import { Blame } from "../fetch/Blame.ts"
import { checkHeaders, type HashedHeader } from "../fetch/checkHeaders.ts"
import { WrongHeader } from "../fetch/FetchError.ts"
import { type HeadProbeError, searchHead } from "../peers/HeadProbe.ts"
import { type PooledPeer, PeerPool } from "../peers/PeerPool.ts"
import { Settings } from "../Settings.ts"
import { ChainTop } from "./ChainTop.ts"
import { type BlockId, type Descent, HeaderTree, linked } from "./headerTree.ts"
import { isOut, type PeerView } from "./quorum.ts"
import { type Candidate, chooseWatched, rotated } from "./watchChoice.ts"

/** See the module. */
export interface HeadWatch {
  /** Asks who is due; does not wait for the answers. */
  readonly look: Effect.Effect<void>
  /** What each peer shows, against the chain as it is stored now. */
  readonly views: Effect.Effect<ReadonlyArray<PeerView>>
  /** How a block leads down to the stored chain, as far as is known. */
  readonly descend: (block: BlockId) => Descent
  /** From now on the headers of this block's chain are asked for as well, at any peer. */
  readonly seek: (block: BlockId | undefined) => void
  /** Rises with every answer. */
  readonly version: () => number
}

/** Peers that are watched; more agree no better. */
export const MOST_WATCHED = 16
/** Headers asked for above the tip. */
export const HEADERS_ASKED = 192
/** No peer is asked more often, whatever it announces. */
const LEAST_PAUSE_MS = 100
/** Answers in a row that may be needed down to the window: peers cap them at some hundred headers. */
const MOST_STEPS_DOWN = 8
/** A head that was seen so many intervals ago counts no more. */
const STALE_INTERVALS = 8
/** Where peers wait for a place, one changes hands every so many intervals. */
const ROTATE_INTERVALS = 4
/** Peers that lost their place and are remembered. */
const MOST_LEFT = 1_024

/** What is known of a peer that is watched. */
interface Watched {
  firstAskedMs: number | undefined
  askedMs: number
  asking: boolean
  announced: string
  head: BlockId | undefined
  seenMs: number
  /** Whether it has more above than it was asked for. */
  more: boolean
  restUntilMs: number
}

/** Watches as long as the scope. */
export const makeHeadWatch = Effect.fnUntraced(function* (
  startBlock: number,
  trustedPeers: ReadonlySet<string>,
): Effect.fn.Return<HeadWatch, never, PeerPool | Blame | Settings | ChainTop | Scope.Scope> {
  const { followEveryMs, requestTimeoutMs, rollbackWindowBlocks } = yield* Settings
  const pool = yield* PeerPool
  const blame = yield* Blame
  const chainTop = yield* ChainTop
  const fibers = yield* FiberSet.make()
  const tree = new HeaderTree()
  const watched = new Map<string, Watched>()
  /** When who was watched lost its place to another, the longest ago first. */
  const left = new Map<string, number>()
  let rotatedMs = yield* Clock.currentTimeMillis
  let sought: BlockId | undefined
  let version = 0

  const eligible = Effect.map(pool.connected, (peers) =>
    peers.filter(({ peer }) => !peer.inbound || trustedPeers.has(peer.peerId)),
  )

  const candidateOf = ({ peer: { peerId }, serves }: PooledPeer, nowMs: number): Candidate => {
    const entry = watched.get(peerId)
    const descent = entry === undefined ? undefined : descentOf(entry, nowMs)
    return {
      peerId,
      trusted: trustedPeers.has(peerId),
      watched: entry !== undefined,
      out: (descent !== undefined && isOut(descent)) || nowMs < (entry?.restUntilMs ?? 0),
      leftMs: entry === undefined ? left.get(peerId) : undefined,
      head: serves.headers?.to ?? -1,
    }
  }

  /** Who has a place now; where it is due, with one place changed. */
  const choose = Effect.fnUntraced(function* (mayRotate: boolean) {
    const nowMs = yield* Clock.currentTimeMillis
    const peers = yield* eligible
    if (peers.length <= MOST_WATCHED) return peers
    const candidates = peers.map((pooled) => candidateOf(pooled, nowMs))
    const restMs = STALE_INTERVALS * followEveryMs
    let chosen = chooseWatched(candidates, MOST_WATCHED, nowMs, restMs)
    if (mayRotate && nowMs - rotatedMs >= ROTATE_INTERVALS * followEveryMs) {
      rotatedMs = nowMs
      chosen = rotated(chosen, candidates)
    }
    const ids = new Set(chosen.map(({ peerId }) => peerId))
    return peers.filter(({ peer }) => ids.has(peer.peerId))
  })

  const remember = (
    peerId: string,
    { header, hash }: Pick<HashedHeader, "header" | "hash">,
  ): BlockId => {
    const known = linked(header.number, hash, header.parentHash)
    // Who lost its place meanwhile is remembered no more.
    if (watched.has(peerId)) tree.add(peerId, known)
    return known
  }

  /** Asks for what the tree lacks below a block, down to the floor. */
  const fillBelow = Effect.fnUntraced(function* ({ peer }: PooledPeer, block: BlockId) {
    for (let step = 0; step < MOST_STEPS_DOWN; step++) {
      const top = chainTop.top()
      const descent = tree.descend(block, top)
      if (descent._tag !== "Missing") return
      const limit = Math.min(descent.number - Math.max(top.floor, 0) + 1, MOST_DOWN_AT_ONCE)
      const start = fromHex(descent.key)
      const answer = yield* peer.getBlockHeaders(
        { start, limit: Math.max(limit, 1), skip: 0, reverse: true },
        requestTimeoutMs,
      )
      if (answer.headers.length === 0) return
      for (const header of yield* downwards(peer.peerId, descent.key, answer.headers)) {
        remember(peer.peerId, header)
      }
    }
  })

  /** The peer's head, as one answer shows it, or a search where it lies below our tip. */
  const askHead = Effect.fnUntraced(function* (pooled: PooledPeer, entry: Watched) {
    const { peer, serves } = pooled
    const { peerId } = peer
    const { tip } = chainTop.top()
    const from = Math.max(tip, startBlock)
    const query = { start: from, limit: HEADERS_ASKED, skip: 0, reverse: false }
    const { headers: items } = yield* peer.getBlockHeaders(query, requestTimeoutMs)
    const headers = checkHeaders(from, items)
    if ("what" in headers) return yield* new WrongHeader({ peerId, ...headers })
    const ids = headers.map((header) => remember(peerId, header))
    const last = headers.at(-1)
    entry.more = headers.length >= HEADERS_ASKED
    if (last !== undefined) {
      // With more above, it is still more than was known of it before.
      if (!entry.more || last.header.number > (serves.headers?.to ?? -1)) {
        pool.sawHead(peerId, last)
      }
      return ids.at(-1)!
    }
    const hint = Math.min(serves.headers?.to ?? 0, from - 1)
    const head = yield* searchHead(peer, requestTimeoutMs, Math.max(hint, 0))
    pool.sawHead(peerId, head)
    return remember(peerId, head)
  })

  const ask = (pooled: PooledPeer, entry: Watched): Effect.Effect<void> =>
    Effect.gen(function* () {
      const head = yield* askHead(pooled, entry)
      yield* fillBelow(pooled, head)
      if (sought !== undefined && isNear(sought)) yield* fillBelow(pooled, sought)
      entry.head = head
      entry.seenMs = yield* Clock.currentTimeMillis
      version += 1
    }).pipe(
      Effect.catchAll((error: HeadProbeError) =>
        Effect.gen(function* () {
          const { peerId } = pooled.peer
          const standing = yield* blame.punish(peerId, blame.count(error).peer)
          entry.restUntilMs = standing.usableFromMs
        }),
      ),
      Effect.ensuring(
        Effect.sync(() => {
          entry.asking = false
        }),
      ),
    )

  /** Whether the block is to be reached from the tip by its headers; a range comes first otherwise. */
  const isNear = ({ number }: BlockId): boolean =>
    number - chainTop.top().tip < HEADERS_ASKED + rollbackWindowBlocks

  const isDue = (pooled: PooledPeer, entry: Watched, nowMs: number): boolean => {
    if (entry.asking || nowMs < entry.restUntilMs) return false
    const sinceMs = nowMs - entry.askedMs
    if (sinceMs < LEAST_PAUSE_MS) return false
    if (sinceMs >= followEveryMs || announcedBy(pooled) !== entry.announced) return true
    const short = (entry.head?.number ?? 0) - chainTop.top().tip < HEADERS_ASKED / 2
    return (entry.more && short) || isSought(entry, nowMs)
  }
  /** The trusted head's chain is looked for at everybody, soon. */
  const isSought = ({ askedMs }: Watched, nowMs: number): boolean =>
    sought !== undefined &&
    isNear(sought) &&
    nowMs - askedMs >= SEEK_EVERY_MS &&
    tree.descend(sought, chainTop.top())._tag === "Missing"

  /** Forgets who has no place any more; when it lost it, where it is still connected. */
  const dropOthers = Effect.fnUntraced(function* (peers: ReadonlyArray<PooledPeer>, nowMs: number) {
    const there = new Set(peers.map(({ peer }) => peer.peerId))
    const connected = new Set((yield* eligible).map(({ peer }) => peer.peerId))
    for (const peerId of watched.keys()) {
      if (there.has(peerId)) continue
      watched.delete(peerId)
      tree.forget(peerId)
      if (connected.has(peerId)) left.set(peerId, nowMs)
    }
    for (const peerId of left.keys()) {
      if (there.has(peerId) || left.size > MOST_LEFT) left.delete(peerId)
    }
  })

  const look = Effect.gen(function* () {
    const nowMs = yield* Clock.currentTimeMillis
    const peers = yield* choose(true)
    yield* dropOthers(peers, nowMs)
    for (const pooled of peers) {
      const { peerId } = pooled.peer
      const entry = watched.get(peerId) ?? newcomer()
      watched.set(peerId, entry)
      if (!isDue(pooled, entry, nowMs)) continue
      entry.asking = true
      entry.askedMs = nowMs
      entry.firstAskedMs ??= nowMs
      entry.announced = announcedBy(pooled)
      yield* FiberSet.run(fibers, ask(pooled, entry))
    }
  })

  /** What the peer shows; of a branch that the store has refused it shows nothing. */
  const descentOf = ({ head, seenMs }: Watched, nowMs: number): Descent | undefined => {
    if (head === undefined || nowMs - seenMs > STALE_INTERVALS * followEveryMs) return undefined
    const descent = tree.descend(head, chainTop.top())
    if (descent._tag === "Missing") return undefined
    const barred = descent._tag === "Met" && chainTop.isBarred(descent.path)
    return barred ? { _tag: "Broken" } : descent
  }

  /** Whether a first answer may still come. */
  const isAwaited = (entry: Watched | undefined, nowMs: number): boolean =>
    entry === undefined ||
    (entry.head === undefined && nowMs - (entry.firstAskedMs ?? nowMs) < requestTimeoutMs)

  const viewOf = (peerId: string, nowMs: number): PeerView => {
    const entry = watched.get(peerId)
    return {
      peerId,
      trusted: trustedPeers.has(peerId),
      descent: entry === undefined ? undefined : descentOf(entry, nowMs),
      awaited: isAwaited(entry, nowMs),
    }
  }

  return {
    look,
    views: Effect.gen(function* () {
      const nowMs = yield* Clock.currentTimeMillis
      const ids = new Set((yield* choose(false)).map(({ peer }) => peer.peerId))
      const away = [...trustedPeers].filter((peerId) => !ids.has(peerId))
      return [
        ...[...ids].map((peerId) => viewOf(peerId, nowMs)),
        ...away.map((peerId): PeerView => ({
          peerId,
          trusted: true,
          descent: undefined,
          awaited: false,
        })),
      ]
    }),
    descend: (block) => tree.descend(block, chainTop.top()),
    seek: (block) => {
      sought = block
    },
    version: () => version,
  }
})

/** How often the chain of a trusted head is looked for while peers do not have it. */
const SEEK_EVERY_MS = 500
/** Headers asked for at once on the way down. */
const MOST_DOWN_AT_ONCE = 512

const newcomer = (): Watched => ({
  firstAskedMs: undefined,
  askedMs: -Infinity,
  asking: false,
  announced: "",
  head: undefined,
  seenMs: -Infinity,
  more: false,
  restUntilMs: 0,
})

const announcedBy = ({ peer }: PooledPeer): string => {
  const range = peer.announcedRange()
  return range === undefined ? "" : `${range.latestBlock} ${toHex(range.latestBlockHash)}`
}

/**
 * Headers that were asked for by the hash of the first and downwards: each must be the parent of the
 * one before. What has another hash than was asked for is a lie; a number that does not fall by one is
 * the chain's own fault, which the tree finds.
 */
const downwards = (
  peerId: string,
  firstKey: string,
  items: ReadonlyArray<Uint8Array>,
): Effect.Effect<ReadonlyArray<Pick<HashedHeader, "header" | "hash">>, WrongHeader> =>
  Effect.gen(function* () {
    const headers: Array<Pick<HashedHeader, "header" | "hash">> = []
    let wanted = firstKey
    for (const bytes of items) {
      const header = yield* Effect.try({
        try: () => readHeader(bytes),
        catch: () => wrong(peerId, "encoding", "a header", "another thing"),
      })
      const hash = keccak256(bytes)
      const key = toHex(hash)
      if (key !== wanted) return yield* wrong(peerId, "hash", wanted, key, header.number)
      headers.push({ header, hash })
      wanted = toHex(header.parentHash)
    }
    return headers
  })

const wrong = (
  peerId: string,
  what: "hash" | "encoding",
  expected: string,
  actual: string,
  blockNumber = 0,
): WrongHeader => new WrongHeader({ peerId, blockNumber, what, expected, actual })
