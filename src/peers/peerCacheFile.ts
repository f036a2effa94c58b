/**
 * The peer cache as text, and its entries as plain records. Pure.
 *
 * A file is lines of JSON: the first says what it is and for which chain, each other is a
 * {@link PeerRecord}. In: text that anyone may have written. Out: entries of which every field is
 * sound, or why not; nothing throws. What {@link encodePeerCache} writes,
 * {@link decodePeerCache} reads back, times rounded to milliseconds.
 */
import { formatEnode, isEnodeInvalid, parseEnode } from "../chain/enode.ts"
import type { CacheEntry } from "./cacheEntries.ts"

/** An entry as it is kept: plain data, integers, nulls for what is not known. */
export interface PeerRecord {
  readonly enode: string
  readonly client: string
  readonly ethVersion: number
  /** Unix milliseconds. */
  readonly lastSeenMs: number
  readonly head: number | null
  readonly blocksServed: number
  readonly failures: number
  readonly roundTripMs: number | null
  /** Absent in what was written before it was known. */
  readonly blocksPerMinute: number | null
  /** Unix milliseconds; null: no ban. */
  readonly bannedUntilMs: number | null
}

/** Why a text is no peer cache that can be used. */
export interface PeerCacheInvalid {
  readonly _tag: "PeerCacheInvalid"
  /** `foreign`: it is something else, or another chain's; `broken`: it is ours and damaged. */
  readonly kind: "foreign" | "broken"
  /** A few plain words. */
  readonly reason: string
}

const MAGIC = "annals peer cache"
const VERSION = 1
/** Longest URL of a node: its id, a host name of 253 characters, two ports. */
const MOST_ENODE_CHARACTERS = 450
/** As sessions bound it. */
const MOST_CLIENT_CHARACTERS = 256

/** An entry as a record. */
export const recordOfEntry = (entry: CacheEntry): PeerRecord => ({
  enode: formatEnode(entry.enode),
  client: entry.client,
  ethVersion: entry.ethVersion,
  lastSeenMs: Math.round(entry.lastSeenMs),
  head: entry.head ?? null,
  blocksServed: entry.blocksServed,
  failures: entry.failures,
  roundTripMs: entry.roundTripMs === undefined ? null : Math.round(entry.roundTripMs),
  blocksPerMinute: entry.blocksPerMinute === undefined ? null : Math.round(entry.blocksPerMinute),
  bannedUntilMs: entry.bannedUntilMs === 0 ? null : Math.ceil(entry.bannedUntilMs),
})

/** The entry of a record that anyone may have written; undefined when a field is not sound. */
export const entryOfRecord = (record: unknown): CacheEntry | undefined => {
  if (typeof record !== "object" || record === null) return undefined
  const fields: Readonly<Partial<Record<string, unknown>>> = { ...record }
  const { enode: url, client, ethVersion, lastSeenMs, blocksServed, failures } = fields
  const head = fields["head"] ?? undefined
  const roundTripMs = fields["roundTripMs"] ?? undefined
  const blocksPerMinute = fields["blocksPerMinute"] ?? undefined
  const bannedUntilMs = fields["bannedUntilMs"] ?? 0
  if (typeof url !== "string" || url.length > MOST_ENODE_CHARACTERS) return undefined
  const enode = parseEnode(url)
  if (isEnodeInvalid(enode) || enode.tcpPort === 0) return undefined
  if (typeof client !== "string" || !isClient(client)) return undefined
  if (!isCount(ethVersion) || !isCount(lastSeenMs)) return undefined
  if (!isCount(blocksServed) || !isCount(failures) || !isCount(bannedUntilMs)) return undefined
  if (head !== undefined && !isCount(head)) return undefined
  if (roundTripMs !== undefined && !isCount(roundTripMs)) return undefined
  if (blocksPerMinute !== undefined && !isCount(blocksPerMinute)) return undefined
  return {
    enode,
    client,
    ethVersion,
    lastSeenMs,
    head,
    blocksServed,
    failures,
    roundTripMs,
    blocksPerMinute,
    bannedUntilMs,
  }
}

/** The text of a cache of the chain with this genesis hash (0x and hex). */
export const encodePeerCache = (
  genesisHash: string,
  entries: ReadonlyArray<CacheEntry>,
): string => {
  const header = { file: MAGIC, version: VERSION, genesisHash }
  const lines = [header, ...entries.map(recordOfEntry)].map((line) => JSON.stringify(line))
  return `${lines.join("\n")}\n`
}

/**
 * The entries of a text, for the chain with this genesis hash (0x and hex). One unsound line makes
 * the whole of it `broken`: it is written in one piece, so somebody else was at it. An empty text
 * is an empty cache.
 */
export const decodePeerCache = (
  genesisHash: string,
  text: string,
): ReadonlyArray<CacheEntry> | PeerCacheInvalid => {
  if (text.trim() === "") return []
  const [first = "", ...rest] = text.split("\n")
  const header = parseLine(first)
  if (header?.["file"] !== MAGIC) return invalid("foreign", "it is no peer cache")
  if (header["version"] !== VERSION) return invalid("foreign", "it is of another version")
  if (header["genesisHash"] !== genesisHash) {
    return invalid("foreign", "it holds peers of another chain")
  }
  // The last line ends like any other; a text cut short does not.
  if (rest.pop() !== "") return invalid("broken", "its end is missing")
  const entries: Array<CacheEntry> = []
  for (const [at, line] of rest.entries()) {
    const entry = entryOfRecord(parseLine(line))
    if (entry === undefined) return invalid("broken", `line ${at + 2} is no peer`)
    entries.push(entry)
  }
  return entries
}

/** Whether a result of {@link decodePeerCache} is the refusal. */
export const isPeerCacheInvalid = (
  result: ReadonlyArray<CacheEntry> | PeerCacheInvalid,
): result is PeerCacheInvalid => "_tag" in result

const invalid = (kind: PeerCacheInvalid["kind"], reason: string): PeerCacheInvalid => ({
  _tag: "PeerCacheInvalid",
  kind,
  reason,
})

const parseLine = (line: string): Readonly<Partial<Record<string, unknown>>> | undefined => {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === "object" && value !== null ? { ...value } : undefined
  } catch {
    return undefined
  }
}

const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0

const isClient = (text: string): boolean =>
  text.length <= MOST_CLIENT_CHARACTERS && !/\p{Cc}/u.test(text)
