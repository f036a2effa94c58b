/**
 * What a survey finds out about peers, and how it is shown: as an object for programs and as a
 * table for people. Pure.
 *
 * In: a {@link PeerSurvey} a peer, complete or cut short. Out: the contract's JSON of `annals
 * peers`, and lines of plain text. What peers say of themselves is made fit for a terminal here.
 */
import { toLine } from "../observe/terminalText.ts"
import type { ServedRange } from "./Peer.ts"

/** How many blocks below its head a peer is asked, rising. */
export const surveyDepths = [0, 1_000, 10_000, 100_000, 1_000_000, 5_000_000] as const

/** What it is asked for there. */
export const surveyParts = ["headers", "bodies", "receipts"] as const
/** One of {@link surveyParts}. */
export type SurveyPart = (typeof surveyParts)[number]

/**
 * Whether a peer serves a part at a depth; `nothing`: there is nothing to serve, since its chain
 * ends above or the blocks there are empty of that part.
 */
export type Served = "yes" | "no" | "nothing"

/** What was found by depth. A depth that is not in it was not found out about (yet). */
export type ServedByDepth = ReadonlyMap<number, Served>

/** What is known of one peer. */
export interface PeerSurvey {
  /** The public key, 128 hex digits. */
  readonly peerId: string
  /** What it calls itself. */
  readonly client: string
  /** The version of eth of its session. */
  readonly ethVersion: number
  /** Whether it dialled us. */
  readonly inbound: boolean
  /** What it says to serve, inclusive; undefined on eth/68, which cannot say it. */
  readonly announced: ServedRange | undefined
  /** The highest block of which it gave us the header. */
  readonly head: number
  /** Median of its header requests in milliseconds; undefined before the first answer. */
  readonly roundTripMs: number | undefined
  readonly serves: Readonly<Record<SurveyPart, ServedByDepth>>
}

/** A peer in the JSON of `annals peers`; see DESIGN "Command line". */
export interface PeerJson {
  readonly peer_id: string
  readonly client: string
  readonly eth: number
  readonly inbound: boolean
  readonly announced: { readonly earliest: number; readonly latest: number } | null
  readonly head: number
  readonly round_trip_ms: number | null
  /** By part, then by depth in decimal; null where there is nothing to serve, or it is not known. */
  readonly serves: Readonly<Record<SurveyPart, Readonly<Record<string, boolean | null>>>>
}

/** The contract's object for one peer. */
export const peerJson = (survey: PeerSurvey): PeerJson => {
  const { announced, roundTripMs, serves } = survey
  return {
    peer_id: survey.peerId,
    client: survey.client,
    eth: survey.ethVersion,
    inbound: survey.inbound,
    announced: announced === undefined ? null : { earliest: announced.from, latest: announced.to },
    head: survey.head,
    round_trip_ms: roundTripMs === undefined ? null : toTenths(roundTripMs),
    serves: {
      headers: servesJson(serves.headers),
      bodies: servesJson(serves.bodies),
      receipts: servesJson(serves.receipts),
    },
  }
}

/** The median of `values`, the mean of the middle two of an even number; undefined of none. */
export const median = (values: ReadonlyArray<number>): number | undefined => {
  const sorted = [...values].sort((a, b) => a - b)
  const high = sorted[Math.floor(sorted.length / 2)]
  const low = sorted[Math.floor((sorted.length - 1) / 2)]
  return low === undefined || high === undefined ? undefined : (low + high) / 2
}

/**
 * The peers as lines of plain text: three a peer, one for each part. A `?` is what was not found out,
 * a `—` where there is nothing to serve.
 */
export const surveyTable = (surveys: ReadonlyArray<PeerSurvey>): string => {
  const rows = [heading, ...surveys.flatMap(linesOf)]
  const widths = heading.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) => lineOf(row, widths)).join("\n")
}

/** Enough of a key to tell peers apart, and to find them in a log. */
const ID_DIGITS = 16
/** A client's name with its version; platform and compiler, which come behind, are left out. */
const CLIENT_COLUMNS = 28

type Row = ReadonlyArray<string>

const depthName = (depth: number): string => {
  if (depth >= 1_000_000) return `${depth / 1_000_000}M`
  return depth >= 1_000 ? `${depth / 1_000}k` : String(depth)
}

const heading: Row = [
  "peer",
  "client",
  "eth",
  "dialled",
  "announced",
  "head",
  "ms",
  "serves",
  ...surveyDepths.map(depthName),
]
/** Columns of numbers, which are set to the right. */
const numeric = new Set(["head", "ms"])

const words: Readonly<Record<Served, string>> = { yes: "yes", no: "no", nothing: "—" }

const linesOf = (survey: PeerSurvey): ReadonlyArray<Row> => {
  const { announced, roundTripMs } = survey
  const facts: Row = [
    survey.peerId.slice(0, ID_DIGITS),
    Array.from(toLine(survey.client)).slice(0, CLIENT_COLUMNS).join(""),
    String(survey.ethVersion),
    survey.inbound ? "us" : "by us",
    announced === undefined ? "—" : `${announced.from}-${announced.to}`,
    String(survey.head),
    roundTripMs === undefined ? "?" : String(toTenths(roundTripMs)),
  ]
  const blanks = facts.map(() => "")
  return surveyParts.map((part, index) =>
    (index === 0 ? facts : blanks).concat(
      part,
      surveyDepths.map((depth) => {
        const served = survey.serves[part].get(depth)
        return served === undefined ? "?" : words[served]
      }),
    ),
  )
}

const lineOf = (row: Row, widths: ReadonlyArray<number>): string =>
  row
    .map((cell, column) =>
      numeric.has(heading[column]!) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
    )
    .join("  ")
    .trimEnd()

const servesJson = (served: ServedByDepth): Record<string, boolean | null> =>
  Object.fromEntries(
    surveyDepths.map((depth) => {
      const found = served.get(depth)
      return [depth, found === undefined || found === "nothing" ? null : found === "yes"]
    }),
  )

const toTenths = (value: number): number => Math.round(value * 10) / 10
