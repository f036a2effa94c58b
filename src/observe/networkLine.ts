/**
 * The counters of finding and keeping peers as one line for the log. Pure.
 */
import type { NetworkCounters } from "./networkCounters.ts"

/** How many reasons or names of a kind are told apart; the summary has them all. */
const MOST_NAMED = 6

/** The line; `pooled` is how many peers can be asked now. */
export const networkLine = (network: NetworkCounters, pooled: number): string => {
  const { discovered, dialled, sessionsOpened, sessionsClosed, inbound, rotated } = network
  const refused = sum(network.refused)
  return [
    `peers: ${pooled} connected`,
    `${discovered} discovered`,
    `${dialled} dialled`,
    `${refused} refused${named(network.refused)}`,
    `sessions ${sessionsOpened} opened${inbound > 0 ? ` (${inbound} by peers)` : ""}, ${sessionsClosed} closed${rotated > 0 ? ` (${rotated} to make room)` : ""}`,
    ...telling("turned away", network.inboundRefused),
    ...telling("broke the rules", network.breaches),
    `clients${named(network.clients) || " none"}`,
    `versions${named(network.ethVersions) || " none"}`,
  ].join("; ")
}

/** `what 4 (a 3, b 1)`; nothing where there is nothing to tell of. */
const telling = (what: string, counts: ReadonlyMap<string, number>): ReadonlyArray<string> =>
  counts.size === 0 ? [] : [`${what} ${sum(counts)}${named(counts)}`]

const sum = (counts: ReadonlyMap<string, number>): number =>
  [...counts.values()].reduce((total, count) => total + count, 0)

/** ` (a 3, b 1)`, the most frequent first; nothing where there is nothing. */
const named = (counts: ReadonlyMap<string, number>): string => {
  if (counts.size === 0) return ""
  const falling = [...counts].sort(([, a], [, b]) => b - a)
  const some = falling.slice(0, MOST_NAMED).map(([name, count]) => `${name} ${count}`)
  const rest = falling.length - some.length
  return ` (${some.join(", ")}${rest > 0 ? `, ${rest} more` : ""})`
}
