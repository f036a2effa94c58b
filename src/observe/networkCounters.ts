/**
 * What a run counts of finding and keeping peers, whatever is asked of them. Plain numbers.
 */

/** Client names kept apart; the rest counts as `other`. */
const MOST_CLIENTS = 50

/** The limits of finding and keeping peers that are in force. */
export interface NetworkLimits {
  readonly maxPeers: number
  readonly maxOutbound: number
  readonly maxInbound: number
  readonly maxConcurrentDials: number
}

/** Requests of peers. */
export interface ServedCounts {
  requests: number
  /** Of those, requests that waited because their session asks too often. */
  delayed: number
  /** Of those, requests that got an empty answer because one would have cost too much. */
  refused: number
}

/** See the module. */
export class NetworkCounters {
  /** Nodes that a source named, each once. */
  discovered = 0
  /** Dials begun. */
  dialled = 0
  sessionsOpened = 0
  sessionsClosed = 0
  /** Sessions that the peer opened. */
  inbound = 0
  /** Sessions that we ended to make room for a candidate. */
  rotated = 0
  /** Dials that ended without a session, by why: `unreachable`, `wrong_genesis`, a peer's reason. */
  readonly refused = new Map<string, number>()
  /** Connections of peers that became no session, by why: `opening_full`, `handshake_timeout`. */
  readonly inboundRefused = new Map<string, number>()
  /** Sessions that ended, by who ended them and why. */
  readonly closed = new Map<string, number>()
  /** Sessions that ended because the peer broke a rule, by which (`wire/breach.ts`). */
  readonly breaches = new Map<string, number>()
  /** What peers asked of us. */
  readonly served: ServedCounts = { requests: 0, delayed: 0, refused: 0 }
  /** Sessions by what the peer calls itself, up to the version, and by eth version. */
  readonly clients = new Map<string, number>()
  readonly ethVersions = new Map<string, number>()

  /** A dial ended without a session. */
  refusedFor(why: string): void {
    count(this.refused, why)
  }

  /** A connection of a peer became no session. */
  inboundRefusedFor(why: string): void {
    count(this.inboundRefused, why)
  }

  /** A peer broke a rule of its session. */
  broken(breach: string): void {
    count(this.breaches, breach)
  }

  /** A session opened. */
  sessionOpened(client: string, ethVersion: number, inbound: boolean): void {
    this.sessionsOpened += 1
    if (inbound) this.inbound += 1
    const name = client.split("/")[0]!.toLowerCase()
    count(this.clients, this.clients.has(name) || this.clients.size < MOST_CLIENTS ? name : "other")
    count(this.ethVersions, `eth/${ethVersion}`)
  }

  /** A session ended. */
  sessionClosed(by: "us" | "peer", reason: string): void {
    this.sessionsClosed += 1
    count(this.closed, `${by}: ${reason}`)
  }
}

const count = (counts: Map<string, number>, name: string): void => {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}
