/**
 * The flags of a sync that follows the head, and what they mean.
 *
 * In: the raw values of {@link followFlags}, each fine by itself, and the range that the sync was
 * given. Out: {@link FollowOptions}, nothing where nobody asked to follow, or one line that says
 * which flags do not go together. The defaults are those of `Settings.ts`.
 */
import { defaults } from "../Settings.ts"
import { accept, refuse, type Checked } from "./checked.ts"
import { maxTimerMs, type Flags, type RawOptions } from "./flags.ts"
import { parsePeers } from "./flagTexts.ts"

/** The flags that concern following. */
export const followFlags = {
  follow: {
    kind: "switch",
    description:
      "Stay at the head after the backfill: new blocks are stored as they come, through reorganisations of up to --rollback-window blocks.",
  },
  "trusted-peer": {
    kind: "list",
    placeholder: "ENODE",
    description:
      "With --follow: a peer to connect to that may say alone where the head is. Otherwise three peers have to agree, or both where there are two.",
  },
  "trusted-head": {
    kind: "text",
    placeholder: "URL",
    description:
      "With --follow: an execution client (JSON-RPC) or a beacon node (REST) that says where the head is, in place of the peers; what it calls safe and finalized is kept.",
  },
  "follow-every-ms": {
    kind: "integer",
    min: 50,
    max: maxTimerMs,
    description: "With --follow: how often each peer is asked for its head, in milliseconds.",
    default: defaults.followEveryMs,
  },
} satisfies Flags

/** What a user gave for {@link followFlags}, and whether a benchmark was asked for. */
export type RawFollowOptions = RawOptions<typeof followFlags> & {
  readonly benchmark: string | undefined
}

/** What of a sync's range concerns following; block numbers. */
export interface FollowedRange {
  /** The last block, inclusive; undefined: as far as there is history. */
  readonly endBlock: number | undefined
  readonly rollbackWindow: number
}

/** How the head is followed. */
export interface FollowOptions {
  /** How often each peer is asked for its head. */
  readonly everyMs: number
  /** Node ids in hex of the peers that may move the chain alone. */
  readonly trustedPeers: ReadonlyArray<string>
  /** An http or https URL; undefined: the peers say where the head is. */
  readonly trustedHead: string | undefined
}

/** The longest rollback window of a run that follows: so many hashes and blocks are held at once. */
const MOST_FOLLOWED_WINDOW = 1_024

/** What concerns following: nothing where nobody asked to follow, which refuses what goes with it. */
export const followOptions = (
  raw: RawFollowOptions,
  { endBlock, rollbackWindow }: FollowedRange,
): Checked<{ readonly follow?: FollowOptions }> => {
  if (!raw.follow) {
    if (raw["trusted-peer"].length > 0) return refuse("--trusted-peer goes with --follow")
    if (raw["trusted-head"] !== undefined) return refuse("--trusted-head goes with --follow")
    const stray = raw["follow-every-ms"] !== undefined
    return stray ? refuse("--follow-every-ms goes with --follow") : accept({})
  }
  if (raw.benchmark !== undefined) return refuse("--follow does not go with --benchmark")
  if (endBlock !== undefined) return refuse("--follow has no end: leave --end-block out")
  if (rollbackWindow > MOST_FOLLOWED_WINDOW) {
    return refuse(`--follow takes a --rollback-window of at most ${MOST_FOLLOWED_WINDOW}`)
  }
  const trustedPeers = parsePeers("--trusted-peer", raw["trusted-peer"])
  if (!trustedPeers.ok) return trustedPeers
  const trustedHead = raw["trusted-head"]
  if (trustedHead !== undefined && !isPlainUrl(trustedHead)) {
    return refuse(
      `--trusted-head takes an http or https URL without a user name, not "${trustedHead}"`,
    )
  }
  const everyMs = raw["follow-every-ms"] ?? defaults.followEveryMs
  return accept({
    follow: { everyMs, trustedPeers: trustedPeers.value.map(({ nodeId }) => nodeId), trustedHead },
  })
}

const isPlainUrl = (text: string): boolean => {
  if (!URL.canParse(text)) return false
  const { protocol, username, password } = new URL(text)
  return (protocol === "http:" || protocol === "https:") && username === "" && password === ""
}
