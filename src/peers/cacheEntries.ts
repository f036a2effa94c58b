/**
 * What is remembered of peers from one run to the next: how facts change an entry, which entries
 * are too old, and which are the best. Pure; times come in, as Unix milliseconds. The service is
 * `PeerCache.ts`.
 *
 * Invariants:
 * - what is given out is sorted, the best first, holds at most {@link MOST_ENTRIES}, and nothing
 *   that was last seen more than {@link MAX_AGE_MS} ago;
 * - an entry begins with a session: only who has talked to us is worth remembering;
 * - counts only grow, and no fact moves `lastSeenMs` back.
 */
import type { Enode } from "../chain/enode.ts"

/** A peer that is remembered. */
export interface CacheEntry {
  readonly enode: Enode
  /** What it calls itself; a peer wrote this. */
  readonly client: string
  /** Of its last session. */
  readonly ethVersion: number
  /** When it last said something to us. */
  readonly lastSeenMs: number
  /** The highest block of which it served the header; undefined: never measured. */
  readonly head: number | undefined
  /** Blocks of which the last stage is through, over all runs. */
  readonly blocksServed: number
  /** Failed requests and dials, over all runs. */
  readonly failures: number
  /** Moving average over small answers; undefined: none was seen. */
  readonly roundTripMs: number | undefined
  /**
   * Blocks a minute of the time in which it had a batch, a moving average; undefined: never served.
   */
  readonly blocksPerMinute: number | undefined
  /** When its ban ends; 0: it has none. */
  readonly bannedUntilMs: number
}

/** What is learned of a peer; what is absent stays as it was. */
export interface PeerFacts {
  /** With `client` and `ethVersion`: a session opened, which begins an entry. */
  readonly enode?: Enode
  readonly client?: string
  readonly ethVersion?: number
  /** When it said something. */
  readonly seenMs?: number
  readonly head?: number
  /** Blocks that it served since the last fact. */
  readonly blocksServed?: number
  /** For how long it had a batch meanwhile. */
  readonly busyMs?: number
  /** Failures since the last fact. */
  readonly failures?: number
  /** One answer's time, from the request to its last byte. */
  readonly roundTripMs?: number
  readonly bannedUntilMs?: number
}

/** Entries not seen for 7 days are dropped: most nodes have moved by then. */
export const MAX_AGE_MS = 7 * 24 * 60 * 60 * 1_000
/** Entries kept, some 500 bytes each: a hundred times the sessions of a run. */
export const MOST_ENTRIES = 5_000
/** Entries in memory before the worst are dropped: that is a sort, not to be done for each. */
const MOST_IN_MEMORY = 2 * MOST_ENTRIES

/** As geth's downloader (`msgrate.go`): steady against one slow answer. */
const NEW_SHARE = 0.1
/** The pace that is taken for a peer that has served nothing yet, in blocks a minute. */
const USUAL_BLOCKS_PER_MINUTE = 600
/** The round trip that is taken for a peer whose own is not known: to another continent. */
const USUAL_ROUND_TRIP_MS = 200
const DAY_MS = 24 * 60 * 60 * 1_000
/** A failure weighs as much as this power of a served block: most peers that failed are gone. */
const FAILURE_WEIGHT = 2

/**
 * What a peer is worth, the higher the better; differences count, the number means nothing. Twice
 * the blocks, twice the pace, half the round trip or one day less of silence are worth 1 each, twice the failures
 * cost {@link FAILURE_WEIGHT}: orders of magnitude tell peers apart, small differences do not. A
 * ban that runs puts a peer behind all others.
 */
export const qualityOf = (entry: CacheEntry, nowMs: number): number => {
  const trip = Math.max(1, entry.roundTripMs ?? USUAL_ROUND_TRIP_MS)
  const score =
    Math.log2(1 + entry.blocksServed) +
    Math.log2(1 + (entry.blocksPerMinute ?? USUAL_BLOCKS_PER_MINUTE)) -
    FAILURE_WEIGHT * Math.log2(1 + entry.failures) -
    Math.log2(trip) -
    Math.max(0, nowMs - entry.lastSeenMs) / DAY_MS
  return entry.bannedUntilMs > nowMs ? score - BANNED : score
}

/** More than any two scores differ by. */
const BANNED = 1_000

/** The entries worth keeping, the best first; times in the future are taken for now. */
export const bestEntries = (
  entries: Iterable<CacheEntry>,
  nowMs: number,
): ReadonlyArray<CacheEntry> => {
  const scored: Array<{ readonly entry: CacheEntry; readonly quality: number }> = []
  for (const known of entries) {
    const entry = atTime(known, nowMs)
    if (nowMs - entry.lastSeenMs > MAX_AGE_MS) continue
    scored.push({ entry, quality: qualityOf(entry, nowMs) })
  }
  scored.sort((a, b) => b.quality - a.quality)
  return scored.slice(0, MOST_ENTRIES).map(({ entry }) => entry)
}

/** A clock that went back, or a file that lies, must not keep an entry for ever. */
const atTime = (entry: CacheEntry, nowMs: number): CacheEntry => {
  const future = entry.lastSeenMs > nowMs
  const over = entry.bannedUntilMs !== 0 && entry.bannedUntilMs <= nowMs
  if (!future && !over) return entry
  return {
    ...entry,
    lastSeenMs: future ? nowMs : entry.lastSeenMs,
    bannedUntilMs: over ? 0 : entry.bannedUntilMs,
  }
}

/** The entry after some facts; undefined where they are of a peer that has none and begin none. */
export const withFacts = (
  known: CacheEntry | undefined,
  facts: PeerFacts,
): CacheEntry | undefined => {
  const entry = known ?? firstEntry(facts)
  if (entry === undefined) return undefined
  return {
    enode: facts.enode ?? entry.enode,
    client: facts.client ?? entry.client,
    ethVersion: facts.ethVersion ?? entry.ethVersion,
    lastSeenMs: Math.max(entry.lastSeenMs, facts.seenMs ?? 0),
    head: facts.head ?? entry.head,
    blocksServed: entry.blocksServed + (facts.blocksServed ?? 0),
    failures: entry.failures + (facts.failures ?? 0),
    roundTripMs: moved(entry.roundTripMs, facts.roundTripMs),
    blocksPerMinute: moved(entry.blocksPerMinute, paceOf(facts)),
    bannedUntilMs: Math.max(entry.bannedUntilMs, facts.bannedUntilMs ?? 0),
  }
}

const firstEntry = ({ enode, client, ethVersion }: PeerFacts): CacheEntry | undefined =>
  enode === undefined || client === undefined || ethVersion === undefined
    ? undefined
    : {
        enode,
        client,
        ethVersion,
        lastSeenMs: 0,
        head: undefined,
        blocksServed: 0,
        failures: 0,
        roundTripMs: undefined,
        blocksPerMinute: undefined,
        bannedUntilMs: 0,
      }

/** Blocks a minute; undefined when it served none or had no batch. */
const paceOf = ({ blocksServed = 0, busyMs = 0 }: PeerFacts): number | undefined =>
  blocksServed > 0 && busyMs > 0 ? (blocksServed / busyMs) * 60_000 : undefined

/** A moving average after another value was seen. */
const moved = (known: number | undefined, seen: number | undefined): number | undefined => {
  if (known === undefined || seen === undefined) return seen ?? known
  return known + (seen - known) * NEW_SHARE
}

/** What a run has counted of a peer so far. */
export interface CountedPeer {
  readonly peerId: string
  readonly blocks: number
  readonly failures: number
  /** For how long it had a batch. */
  readonly busyMs: number
}

/** The entries of a run, by node id, while it goes on. */
export class EntryBook {
  readonly #entries = new Map<string, CacheEntry>()
  /** What of the run's counts is in the entries already. */
  #counted = new Map<string, CountedPeer>()
  #changes = 0

  constructor(entries: Iterable<CacheEntry>) {
    for (const entry of entries) this.#entries.set(entry.enode.nodeId, entry)
  }

  /** Entries in memory. */
  get size(): number {
    return this.#entries.size
  }

  /** How often something changed. */
  get changes(): number {
    return this.#changes
  }

  /** Takes facts in; those of a peer without an entry, which do not begin one, are passed over. */
  note(peerId: string, facts: PeerFacts, nowMs: number): void {
    const entry = withFacts(this.#entries.get(peerId), facts)
    if (entry === undefined) return
    this.#entries.set(peerId, entry)
    this.#changes += 1
    if (this.#entries.size > MOST_IN_MEMORY) this.#shrink(nowMs)
  }

  /** Drops a peer that is of no use to this chain. */
  forget(peerId: string): void {
    if (this.#entries.delete(peerId)) this.#changes += 1
  }

  /** Takes in how far the run's counts have grown since the last call. A peer that served was seen. */
  count(peers: Iterable<CountedPeer>, nowMs: number): void {
    const counted = new Map<string, CountedPeer>()
    for (const { peerId, blocks, failures, busyMs } of peers) {
      const before = this.#counted.get(peerId)
      // A count that fell was forgotten in between and has begun again.
      const blocksServed = growth(before?.blocks ?? 0, blocks)
      const moreFailures = growth(before?.failures ?? 0, failures)
      const moreBusyMs = growth(before?.busyMs ?? 0, busyMs)
      counted.set(peerId, { peerId, blocks, failures, busyMs })
      if (blocksServed === 0 && moreFailures === 0) continue
      const seen = blocksServed > 0 ? { seenMs: nowMs } : {}
      const facts = { blocksServed, failures: moreFailures, busyMs: moreBusyMs, ...seen }
      this.note(peerId, facts, nowMs)
    }
    this.#counted = counted
  }

  /** See {@link bestEntries}. */
  best(nowMs: number): ReadonlyArray<CacheEntry> {
    return bestEntries(this.#entries.values(), nowMs)
  }

  #shrink(nowMs: number): void {
    const kept = this.best(nowMs)
    this.#entries.clear()
    for (const entry of kept) this.#entries.set(entry.enode.nodeId, entry)
  }
}

const growth = (before: number, now: number): number => (now >= before ? now - before : now)
