/**
 * What a peer's failures do to it: a pure account of strikes, cool-downs and bans. The service
 * that keeps one for each peer is `Reputation.ts`.
 */

/**
 * What a failure means for the peer that caused it: nothing; a pause (it has not what was asked);
 * a strike (a pause, and a step towards a ban); a ban at once (it lied or broke the protocol).
 */
export type PeerConsequence = "none" | "cool_down" | "strike" | "ban"

/** A peer's account. Times are milliseconds of the run's clock. */
export interface Standing {
  /** Strikes since the last success. */
  readonly strikesInRow: number
  /** Pauses since the last success: the next one is twice as long. */
  readonly pausesInRow: number
  /** Before this time the peer is given nothing. */
  readonly usableFromMs: number
  /** Whether `usableFromMs` is the end of a ban and not of a cool-down. */
  readonly banned: boolean
}

/** What the account needs of the settings. */
export interface StandingRules {
  readonly coolDownMs: number
  readonly maxCoolDownMs: number
  readonly failuresToBan: number
  readonly banMs: number
}

/** A peer of which nothing is known. */
export const newcomer: Standing = {
  strikesInRow: 0,
  pausesInRow: 0,
  usableFromMs: 0,
  banned: false,
}

const severity: Record<PeerConsequence, number> = { none: 0, cool_down: 1, strike: 2, ban: 3 }

/** The harsher of two consequences: a batch that fails in several ways is one failure. */
export const harsher = (a: PeerConsequence, b: PeerConsequence): PeerConsequence =>
  severity[a] >= severity[b] ? a : b

/** The account after a failure at `nowMs`. A pause never shortens one that runs. */
export const afterFailure = (
  standing: Standing,
  consequence: PeerConsequence,
  nowMs: number,
  rules: StandingRules,
): Standing => {
  if (consequence === "none") return standing
  const strikesInRow = standing.strikesInRow + (consequence === "cool_down" ? 0 : 1)
  const banned = consequence === "ban" || strikesInRow >= rules.failuresToBan
  if (banned) {
    return {
      // A peer that comes back from a ban starts over: the next ban takes as many failures.
      strikesInRow: 0,
      pausesInRow: 0,
      usableFromMs: Math.max(standing.usableFromMs, nowMs + rules.banMs),
      banned: true,
    }
  }
  const pauseMs = Math.min(rules.coolDownMs * 2 ** standing.pausesInRow, rules.maxCoolDownMs)
  return {
    strikesInRow,
    pausesInRow: standing.pausesInRow + 1,
    usableFromMs: Math.max(standing.usableFromMs, nowMs + pauseMs),
    banned: standing.banned && standing.usableFromMs > nowMs,
  }
}

/** The account after the peer served a block. A ban that runs goes on. */
export const afterSuccess = (standing: Standing, nowMs: number): Standing =>
  standing.banned && standing.usableFromMs > nowMs
    ? standing
    : { strikesInRow: 0, pausesInRow: 0, usableFromMs: standing.usableFromMs, banned: false }
