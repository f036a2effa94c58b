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
  /** Sessions that ended, by who ended them and why. */
  readonly closed = new Map<string, number>()
  /** Sessions by what the peer calls itself, up to the version, and by eth version. */
  readonly clients = new Map<string, number>()
  readonly ethVersions = new Map<string, number>()

  /** A dial ended without a session. */
  refusedFor(why: string): void {
    count(this.refused, why)
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
