/**
 * Whom to dial next: the nodes that are known and not connected, how well each is thought of, and
 * when each may be dialled again. Pure: a mutable book without a clock; times come in.
 *
 * Invariants:
 * - a node is offered once until its outcome is told, and never while it is connected;
 * - after a failure it is not offered before its back-off is over, which doubles each time; after
 *   it was found on another chain, never again;
 * - two dials to one public address are at least {@link ADDRESS_PAUSE_MS} apart (geth and reth take
 *   one inbound attempt per address in that time);
 * - better ranks are offered first, among equals who has failed less, then who was known first;
 * - the book holds at most {@link MOST_NODES}; the worst that is not in use makes room.
 */
import { isIP } from "node:net"
import type { Enode } from "../chain/enode.ts"

/** How a node came to be known: what it is worth before it was tried. */
export type CandidateRank = "static" | "cached" | "matching" | "unknown"

const rankOrder: Record<CandidateRank, number> = { static: 0, cached: 1, matching: 2, unknown: 3 }

/** geth and reth refuse a second inbound attempt of an address within 30 s. */
export const ADDRESS_PAUSE_MS = 30_000
/** Nodes kept; some 300 bytes each. */
export const MOST_NODES = 10_000

/** How a dial, or the session that came of it, ended. */
export type DialOutcome =
  /** No session came about, or it ended soon: back off. */
  | "failed"
  /** A session that was of use ended: dial again without a longer wait. */
  | "ended"
  /** We let it go for having served nothing: others first, for some time. */
  | "useless"
  /** It is on another chain, or does not speak our protocol: never again. */
  | "wrong"

/** How long a node that was let go for being useless is not dialled: it may have filled up by then. */
export const USELESS_PAUSE_MS = 600_000

/** Waits between dials of one node. */
export interface BackOff {
  readonly firstMs: number
  readonly mostMs: number
}

interface Entry {
  enode: Enode
  rank: CandidateRank
  readonly order: number
  state: "idle" | "busy" | "never"
  failures: number
  notBeforeMs: number
  /** Whether the outcome of some dial was told. */
  settled: boolean
}

/** See the module. */
export class CandidateBook {
  readonly #entries = new Map<string, Entry>()
  readonly #addresses = new Map<string, number>()
  readonly #backOff: BackOff
  #order = 0

  constructor(backOff: BackOff) {
    this.#backOff = backOff
  }

  /** Nodes that are known. */
  get size(): number {
    return this.#entries.size
  }

  /** Whether some node may be dialled at `nowMs`. */
  ready(nowMs: number): boolean {
    for (const entry of this.#entries.values()) if (this.#mayDial(entry, nowMs)) return true
    return false
  }

  /** Whether some node was never dialled. */
  get untried(): boolean {
    for (const { state, settled } of this.#entries.values()) {
      if (state === "idle" && !settled) return true
    }
    return false
  }

  /** Whether the user named a node. */
  isStatic(nodeId: string): boolean {
    return this.#entries.get(nodeId)?.rank === "static"
  }

  /** Whether some node may be dialled now or later. */
  get hopeful(): boolean {
    for (const { state } of this.#entries.values()) if (state !== "never") return true
    return false
  }

  /** A node is named by a source; true when it was not known. A better rank replaces a worse. */
  add(enode: Enode, rank: CandidateRank): boolean {
    const known = this.#entries.get(enode.nodeId)
    if (known !== undefined) {
      if (rankOrder[rank] <= rankOrder[known.rank]) {
        known.rank = rank
        known.enode = enode
      }
      return false
    }
    if (this.#entries.size >= MOST_NODES && !this.#makeRoom()) return false
    this.#order += 1
    this.#entries.set(enode.nodeId, {
      enode,
      rank,
      order: this.#order,
      state: "idle",
      failures: 0,
      notBeforeMs: 0,
      settled: false,
    })
    return true
  }

  /** The best node that may be dialled at `nowMs`; it is busy from then on. */
  next(nowMs: number): Enode | undefined {
    let best: Entry | undefined
    for (const entry of this.#entries.values()) {
      if (!this.#mayDial(entry, nowMs)) continue
      if (best === undefined || isBetter(entry, best)) best = entry
    }
    if (best === undefined) return undefined
    best.state = "busy"
    if (isPublic(best.enode.host)) this.#noteAddress(best.enode.host, nowMs)
    return best.enode
  }

  /** The dial of a node, or its session, is over. `notBeforeMs` is the end of a ban, if there is one. */
  settle(nodeId: string, outcome: DialOutcome, nowMs: number, notBeforeMs = 0): void {
    const entry = this.#entries.get(nodeId)
    if (entry === undefined) return
    entry.state = outcome === "wrong" ? "never" : "idle"
    entry.settled = true
    entry.failures = outcome === "ended" ? 0 : entry.failures + 1
    const doublings = Math.max(0, entry.failures - 1)
    const waitMs = Math.min(this.#backOff.firstMs * 2 ** doublings, this.#backOff.mostMs)
    const pauseMs = outcome === "useless" ? USELESS_PAUSE_MS : waitMs
    entry.notBeforeMs = Math.max(nowMs + pauseMs, notBeforeMs)
  }

  #mayDial(entry: Entry, nowMs: number): boolean {
    if (entry.state !== "idle" || entry.notBeforeMs > nowMs) return false
    const dialledMs = this.#addresses.get(entry.enode.host)
    return dialledMs === undefined || nowMs - dialledMs >= ADDRESS_PAUSE_MS
  }

  #noteAddress(host: string, nowMs: number): void {
    this.#addresses.delete(host)
    this.#addresses.set(host, nowMs)
    // The map's order is that of the dials: the old ones, which say nothing any more, come first.
    for (const [old, dialledMs] of this.#addresses) {
      if (nowMs - dialledMs < ADDRESS_PAUSE_MS) break
      this.#addresses.delete(old)
    }
  }

  #makeRoom(): boolean {
    let worst: Entry | undefined
    for (const entry of this.#entries.values()) {
      if (entry.state === "busy" || entry.rank === "static") continue
      if (worst === undefined || isWorthLess(entry, worst)) worst = entry
    }
    if (worst === undefined) return false
    this.#entries.delete(worst.enode.nodeId)
    return true
  }
}

const isBetter = (a: Entry, b: Entry): boolean => {
  const byRank = rankOrder[a.rank] - rankOrder[b.rank]
  if (byRank !== 0) return byRank < 0
  return a.failures === b.failures ? a.order < b.order : a.failures < b.failures
}

const isWorthLess = (a: Entry, b: Entry): boolean =>
  a.state === b.state ? isBetter(b, a) : a.state === "never"

/** Whether the one-attempt rule holds there: peers on this machine or network do not keep it. */
const isPublic = (host: string): boolean =>
  isIP(host) === 4
    ? !/^(10|127|192\.168|169\.254|172\.(1[6-9]|2\d|3[01]))\./u.test(host)
    : isIP(host) === 6
      ? !/^(::1$|f[cd]|fe80)/iu.test(host)
      : true
