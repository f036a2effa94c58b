/**
 * The flags of `annals peers` and what they mean.
 *
 * In: the raw values of {@link peersFlags}, each fine by itself. Out: {@link PeersOptions}, or one
 * line that says which flag cannot be used. What the command has in common with `annals sync` is
 * that one's: its flags, its rules, and its defaults for what is not offered here.
 */
import { accept, type Checked } from "./checked.ts"
import { maxTimerMs, nothingGiven, type Flags, type RawOptions } from "./flags.ts"
import { syncFlags, syncOptions, type ProbeOptions } from "./syncOptions.ts"

/** The flags of `annals peers`. */
export const peersFlags = {
  json: { kind: "switch", description: "The report as JSON on stdout." },
  for: {
    kind: "integer",
    min: 1,
    max: Math.floor(maxTimerMs / 1000),
    description: "Longest time to look for peers and to ask them, in seconds.",
    default: 30,
  },
  network: syncFlags.network,
  peer: syncFlags.peer,
  "no-discovery": syncFlags["no-discovery"],
  bootnode: syncFlags.bootnode,
  "dns-tree": syncFlags["dns-tree"],
  "max-peers": syncFlags["max-peers"],
  "max-concurrent-dials": syncFlags["max-concurrent-dials"],
  "max-outbound": syncFlags["max-outbound"],
  port: syncFlags.port,
  "max-inbound": syncFlags["max-inbound"],
  "timeout-ms": {
    ...syncFlags["timeout-ms"],
    description: "Deadline of one request, in milliseconds.",
  },
} satisfies Flags

/** What a user gave `annals peers`. */
export type RawPeersOptions = RawOptions<typeof peersFlags>

/** What is to be reported. Times in milliseconds. */
export interface PeersOptions extends Omit<ProbeOptions, "receiptsPerRequest" | "peerCache"> {
  /** The longest that it takes. */
  readonly forMs: number
  /** JSON in place of a table. */
  readonly json: boolean
}

/** The options that the raw values ask for. */
export const peersOptions = (raw: RawPeersOptions): Checked<PeersOptions> => {
  const { json, for: forSeconds = peersFlags.for.default, ...shared } = raw
  // A probe: it has fewest options of its own.
  const checked = syncOptions({ ...nothingGiven(syncFlags), ...shared, benchmark: "probe" }, 1)
  if (!checked.ok) return checked
  const { kind: _kind, receiptsPerRequest: _receiptsPerRequest, ...options } = checked.value
  return accept({ ...options, forMs: forSeconds * 1000, json })
}
