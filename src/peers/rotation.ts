/**
 * Who makes room for a candidate when all places are taken: the slowest of those that are of no
 * use. Pure; times come in.
 *
 * In: from time to time, who sits where and how many blocks each has served so far. Out: whom to
 * let go. Invariants:
 * - nobody goes who was named by the user, who has been here for less than {@link GRACE_MS}, or of
 *   whom a block was used within that time;
 * - at most one goes in {@link ROTATE_EVERY_MS}: candidates are no better for being new.
 */

/** A peer in one of our places. */
export interface Seat {
  readonly peerId: string
  /** Since when its session is open. */
  readonly sinceMs: number
  /** Whether the user named it. */
  readonly named: boolean
  /** Blocks that it has had a part in so far. */
  readonly blocks: number
}

/** How long a peer may serve nothing: its head is measured, its first batch may time out. */
export const GRACE_MS = 60_000
/** Shortest time between two that go. geth rotates every few minutes; we look for who serves. */
export const ROTATE_EVERY_MS = 10_000

/** As in the peer cache: steady against one burst. */
const NEW_SHARE = 0.1

interface Account {
  blocks: number
  atMs: number
  /** When its count last grew. */
  servedMs: number
  /** Moving average. */
  blocksPerSec: number
}

/** See the module. */
export class Rotation {
  #accounts = new Map<string, Account>()
  #nextMs = 0

  /**
   * Takes in who is here at `nowMs`; who is not in it is forgotten. `excused`: nobody could serve,
   * for reasons of our own.
   */
  observe(seats: Iterable<Seat>, nowMs: number, excused = false): void {
    const accounts = new Map<string, Account>()
    for (const seat of seats) {
      const account = afterLook(this.#accounts.get(seat.peerId), seat, nowMs)
      if (excused) account.servedMs = nowMs
      accounts.set(seat.peerId, account)
    }
    this.#accounts = accounts
  }

  /** Who goes now; undefined when nobody should. Takes the seats in first. */
  victim(seats: ReadonlyArray<Seat>, nowMs: number): string | undefined {
    this.observe(seats, nowMs)
    if (nowMs < this.#nextMs) return undefined
    let slowest: Seat | undefined
    for (const seat of seats) {
      if (!this.#useless(seat, nowMs)) continue
      if (slowest === undefined || this.#slower(seat, slowest)) slowest = seat
    }
    if (slowest !== undefined) this.#nextMs = nowMs + ROTATE_EVERY_MS
    return slowest?.peerId
  }

  #useless({ peerId, sinceMs, named }: Seat, nowMs: number): boolean {
    if (named || nowMs - sinceMs < GRACE_MS) return false
    const account = this.#accounts.get(peerId)
    return account !== undefined && nowMs - account.servedMs >= GRACE_MS
  }

  /** Whether `a` should go rather than `b`: slower, among equals longer here. */
  #slower(a: Seat, b: Seat): boolean {
    const byRate = this.#rate(a) - this.#rate(b)
    return byRate === 0 ? a.sinceMs < b.sinceMs : byRate < 0
  }

  #rate({ peerId }: Seat): number {
    return this.#accounts.get(peerId)?.blocksPerSec ?? 0
  }
}

const afterLook = (known: Account | undefined, seat: Seat, nowMs: number): Account => {
  if (known === undefined) {
    return { blocks: seat.blocks, atMs: nowMs, servedMs: seat.sinceMs, blocksPerSec: 0 }
  }
  // A count that fell was forgotten in between and has begun again.
  const grown = seat.blocks >= known.blocks ? seat.blocks - known.blocks : seat.blocks
  const seconds = Math.max(1, nowMs - known.atMs) / 1_000
  const blocksPerSec = known.blocksPerSec + (grown / seconds - known.blocksPerSec) * NEW_SHARE
  const servedMs = grown > 0 ? nowMs : known.servedMs
  return { blocks: seat.blocks, atMs: nowMs, servedMs, blocksPerSec }
}
