/**
 * Finds peers in DNS lists (EIP-1459): walks the lists, checks every text against the hash or
 * signature above it, and gives the nodes that can be on our chain as a stream.
 *
 *     walk ─▶ all there ─▶ wait `recheckMs` ─┐
 *      ▲ └──▶ failures  ─▶ wait `retryMs`, doubled each time
 *      └─────────────────────────────────────┘
 *
 * Each walk begins at the roots and asks only for what no earlier walk got (`dnsWalk.ts`), so that
 * a walk over unchanged lists is one lookup a list.
 *
 * In: the lists' URLs. Out: {@link PeerSourceShape}; the stream never ends unless there is no list.
 * Invariants: at most `lookupsAtOnce` lookups under way and `lookupsPerSecond` started; the walk
 * waits when the stream is not read; nodes whose fork id fits come before those that tell none.
 */
import { Clock, Context, Duration, Effect, Layer, Mailbox, Random, Stream } from "effect"
import { Chain } from "../chain/Chain.ts"
import type { ChainSpec } from "../chain/chainSpec.ts"
import {
  isHashOf,
  isRootText,
  isTreeInvalid,
  parseEntry,
  readRoot,
  type TreeEntry,
  type TreeRoot,
  type TreeUrl,
} from "../chain/dnsTree.ts"
import { decodeEnr, isEnrInvalid } from "../chain/enr.ts"
import { candidateOf } from "./dnsCandidate.ts"
import { DnsLookup, type DnsLookupShape, type LookupFailed } from "./DnsLookup.ts"
import { DnsWalk, type EntryTask, type RootTask, TreeCache, type WalkLimits } from "./dnsWalk.ts"
import type { Candidate, PeerSourceShape } from "./PeerSource.ts"

/** The tunables of the walk. */
export interface DnsSourceOptions extends WalkLimits {
  /** 13: as many as a branch has children. */
  readonly lookupsAtOnce: number
  /**
   * 50: mainnet's list of some thousand nodes in about a minute, far below what public resolvers
   * allow one client.
   */
  readonly lookupsPerSecond: number
  /** From one complete walk to the next. 30 minutes: the lists change a few times a day. */
  readonly recheckMs: number
  /** From a walk with failures to the next; doubles up to `recheckMs`. */
  readonly retryMs: number
  /** How long nodes without fork id wait for better ones to come first. */
  readonly holdBackMs: number
  /** Candidates that wait to be read, about 0.5 kB each. */
  readonly queueCandidates: number
}

/** The values without any override. */
export const dnsSourceDefaults: DnsSourceOptions = {
  lookupsAtOnce: 13,
  lookupsPerSecond: 50,
  recheckMs: 1_800_000,
  retryMs: 5_000,
  holdBackMs: 10_000,
  queueCandidates: 64,
  // Mainnet's list has a few thousand nodes: room for it to grow, and 5 MB of memory at the most.
  maxEntries: 20_000,
  maxTrees: 16,
  maxLinkDepth: 3,
  maxFailuresInRow: 26,
}

/** Nodes from DNS lists, as a source of candidates. */
export class DnsSource extends Context.Tag("annals/DnsSource")<DnsSource, PeerSourceShape>() {
  /** Walks these lists while its stream is read; each run of the stream is a walk of its own. */
  static readonly layer = (
    trees: ReadonlyArray<TreeUrl>,
    overrides: Partial<DnsSourceOptions> = {},
  ): Layer.Layer<DnsSource, never, Chain | DnsLookup> =>
    Layer.effect(
      DnsSource,
      Effect.gen(function* () {
        const chain = yield* Chain
        const lookup = yield* DnsLookup
        const options = { ...dnsSourceDefaults, ...overrides }
        return {
          candidates:
            trees.length === 0 ? Stream.empty : walkForever({ trees, chain, lookup, options }),
          description: describe(trees),
        }
      }),
    )
}

const describe = (trees: ReadonlyArray<TreeUrl>): string =>
  trees.length === 0
    ? "no DNS list was given"
    : `the DNS lists ${trees.map(({ domain }) => domain).join(", ")}`

interface WalkerOptions {
  readonly trees: ReadonlyArray<TreeUrl>
  readonly chain: ChainSpec
  readonly lookup: DnsLookupShape
  readonly options: DnsSourceOptions
}

/** What the fibers of a walker share. */
interface Walker extends WalkerOptions {
  readonly mailbox: Mailbox.Mailbox<Candidate>
  readonly cache: TreeCache
  readonly held: HeldBack
  /** Waits for this lookup's turn. */
  readonly turn: Effect.Effect<void>
}

/** Candidates without fork id that wait. */
interface HeldBack {
  candidates: Array<Candidate>
  /** When the first of them came. */
  sinceMs: number
}

const walkForever = (parts: WalkerOptions): Stream.Stream<Candidate> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const { options } = parts
      const mailbox = yield* Mailbox.make<Candidate>({ capacity: options.queueCandidates })
      const walker: Walker = {
        ...parts,
        mailbox,
        cache: new TreeCache(),
        held: { candidates: [], sinceMs: 0 },
        turn: spacedBy(1_000 / options.lookupsPerSecond),
      }
      yield* repeatWalks(walker).pipe(Mailbox.into(mailbox), Effect.forkScoped)
      return Mailbox.toStream(mailbox)
    }),
  )

const repeatWalks = Effect.fnUntraced(function* (walker: Walker): Effect.fn.Return<never> {
  const { retryMs, recheckMs } = walker.options
  let waitMs = retryMs
  for (;;) {
    const failures = yield* walkOnce(walker)
    yield* Effect.sleep(Duration.millis(failures === 0 ? recheckMs : waitMs))
    waitMs = failures === 0 ? retryMs : Math.min(2 * waitMs, recheckMs)
  }
})

/** Walks the lists once and gives how many lookups failed. */
const walkOnce = Effect.fn("DnsSource.walkOnce")(function* (walker: Walker) {
  const { trees, cache, options } = walker
  const walk = new DnsWalk(trees, cache, options)
  const changed = yield* Effect.makeLatch(false)

  const work = Effect.gen(function* () {
    for (;;) {
      const task = walk.take()
      if (task !== undefined) {
        yield* task.kind === "root" ? visitRoot(walker, walk, task) : visitEntry(walker, walk, task)
        yield* changed.release
      } else if (walk.underWay > 0) {
        yield* changed.await
      } else {
        // For good, since one that was about to wait must not sleep for ever.
        return yield* changed.open
      }
    }
  })
  yield* Effect.forEach(Array.from({ length: options.lookupsAtOnce }), () => work, {
    concurrency: "unbounded",
    discard: true,
  })
  walk.finish()
  yield* releaseHeld(walker)
  const { failures, truncated } = walk
  yield* Effect.logDebug("DNS lists walked").pipe(
    Effect.annotateLogs({ entries: cache.entries.size, failures, truncated }),
  )
  return failures
})

/** A text was found, or is another than it should be. */
interface Misfit {
  readonly _tag: "Misfit"
  readonly name: string
  readonly reason: string
}

const misfit = (name: string, reason: string): Misfit => ({ _tag: "Misfit", name, reason })

const visitRoot = (walker: Walker, walk: DnsWalk, task: RootTask): Effect.Effect<void> =>
  lookUp(walker, task.tree.domain).pipe(
    Effect.flatMap((texts) => {
      const roots = texts.filter(isRootText).map((text) => readRoot(text, task.tree.key))
      const root = roots.find((root): root is TreeRoot => !isTreeInvalid(root))
      if (root !== undefined) return Effect.succeed(root)
      const refused = roots.find(isTreeInvalid)
      return Effect.fail(misfit(task.tree.domain, refused?.reason ?? "no root among its texts"))
    }),
    Effect.map((root) => {
      // A server that lags behind, or somebody who replays, must not take us back.
      const known = walker.cache.roots.get(task.url)
      walk.foundRoot(task, known !== undefined && known.seq > root.seq ? known : root)
    }),
    Effect.catchAll((error) => noteFailure(walk, error)),
  )

const visitEntry = (walker: Walker, walk: DnsWalk, task: EntryTask): Effect.Effect<void> => {
  const name = `${task.subdomain}.${task.root.tree.domain}`
  return lookUp(walker, name).pipe(
    Effect.flatMap((texts) => {
      const text = texts.find((text) => isHashOf(task.subdomain, text))
      return text === undefined
        ? Effect.fail(misfit(name, "no text with the hash that its name is"))
        : Effect.succeed(parseEntry(text))
    }),
    Effect.flatMap((entry) =>
      isTreeInvalid(entry)
        ? Effect.as(noteUseless(name, entry.reason), undefined)
        : useEntry(walker, task, name, entry),
    ),
    Effect.map((entry) => walk.foundEntry(task, entry)),
    Effect.catchAll((error) => noteFailure(walk, error)),
  )
}

/** Gives out the entry's node, if it is one, and the entry with its children in any order. */
const useEntry = Effect.fnUntraced(function* (
  walker: Walker,
  task: EntryTask,
  name: string,
  entry: TreeEntry,
): Effect.fn.Return<TreeEntry> {
  if (entry.kind === "branch") {
    // Not everybody is to dial the same nodes first.
    return { kind: "branch", children: [...(yield* Random.shuffle(entry.children))] }
  }
  if ((entry.kind === "link") !== (task.subtree === "links")) {
    yield* noteUseless(name, `a ${entry.kind} in the tree of ${task.subtree}`)
  } else if (entry.kind === "node") {
    yield* offerNode(walker, name, entry.enr)
  }
  return entry
})

const offerNode = Effect.fnUntraced(function* (walker: Walker, name: string, text: string) {
  const enr = decodeEnr(text)
  if (isEnrInvalid(enr)) return yield* noteUseless(name, enr.reason)
  const { held, mailbox, options } = walker
  const nowMs = yield* Clock.currentTimeMillis
  const candidate = candidateOf(walker.chain, enr, Math.floor(nowMs / 1_000))
  if (typeof candidate === "string") return yield* noteUseless(name, candidate)
  if (candidate.forkId === undefined) {
    if (held.candidates.length === 0) held.sinceMs = nowMs
    held.candidates.push(candidate)
  } else {
    yield* mailbox.offer(candidate)
  }
  if (held.candidates.length > 0 && nowMs - held.sinceMs >= options.holdBackMs) {
    yield* releaseHeld(walker)
  }
})

const releaseHeld = ({ held, mailbox }: Walker): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { candidates } = held
    held.candidates = []
    return Effect.asVoid(mailbox.offerAll(candidates))
  })

const lookUp = ({ lookup, turn }: Walker, name: string) => Effect.zipRight(turn, lookup.txt(name))

const noteFailure = (walk: DnsWalk, error: LookupFailed | Misfit): Effect.Effect<void> => {
  walk.failed()
  return Effect.logDebug("DNS lookup failed").pipe(
    Effect.annotateLogs({
      name: error.name,
      reason: error._tag === "LookupFailed" ? error.code : error.reason,
    }),
  )
}

/** An entry with the right hash that is of no use to us: it will not change, so nobody asks again. */
const noteUseless = (name: string, reason: string): Effect.Effect<void> =>
  Effect.logDebug("DNS list entry passed over").pipe(Effect.annotateLogs({ name, reason }))

/** An effect that lets one caller through each `intervalMs`, in the order in which they came. */
const spacedBy = (intervalMs: number): Effect.Effect<void> => {
  let nextMs = 0
  return Effect.flatMap(Clock.currentTimeMillis, (nowMs) => {
    const atMs = Math.max(nowMs, nextMs)
    nextMs = atMs + intervalMs
    return atMs > nowMs ? Effect.sleep(Duration.millis(atMs - nowMs)) : Effect.void
  })
}
