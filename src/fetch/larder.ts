/**
 * Parts of blocks that could not be made whole at the peer they came from: bodies of a peer without
 * receipts, receipts whose bodies were cut off. They wait here for whoever fetches the rest. Pure
 * bookkeeping, for one owner.
 *
 * In: parts, by the hash of the header that they were asked for. Out: the same parts, to who has
 * that header.
 *
 * Invariants:
 * - what is here, lent parts included, costs at most `mostBytes`, or is a single part;
 * - room is made by what has waited for `keepMs` or longer, the oldest first, and else by parts of
 *   higher blocks: work is given out from the lowest block on, so theirs would be used last. There
 *   is always room for the lowest of all, and so two peers that have the halves of all blocks come
 *   to an end whatever the size. A part that is lent never makes room;
 * - a part that is lent is its borrower's alone: it comes back, or is used up, exactly once;
 * - a part is kept as a copy, so that it holds no answer's whole buffer in memory.
 */
import { toHex } from "../domain/hex.ts"
import type { PartSender } from "../domain/fetchedBlock.ts"
import type { PartKind } from "./PeerLanes.ts"

/** A part of a block, by which header it was asked for, and by whom it was sent. */
export interface Part {
  readonly kind: PartKind
  readonly blockNumber: number
  /** The hash of its header, 32 bytes. */
  readonly hash: Uint8Array
  readonly bytes: Uint8Array
  readonly sender: PartSender
}

/** What an entry costs beside its bytes: its key, its fields, its place in the maps. */
const ENTRY_BYTES = 512

/** A part, and since when it is here. */
interface Entry {
  readonly part: Part
  readonly sinceMs: number
}

/** See the module. */
export class Larder {
  readonly #mostBytes: number
  readonly #keepMs: number
  /** By kind and hash, about the oldest first: what was lent comes back behind the others. */
  readonly #entries = new Map<string, Entry>()
  /** The keys of a block's parts, under whichever hash. */
  readonly #keysOf = new Map<number, Set<string>>()
  /** Since when each lent part had been here. */
  readonly #lent = new Map<Part, number>()
  #bytes = 0
  /** No part that is here is of a higher block. */
  #highest = -1

  /** Holds at most `mostBytes`, and what is asked for again after `keepMs` no more. */
  constructor(mostBytes: number, keepMs: number) {
    this.#mostBytes = mostBytes
    this.#keepMs = keepMs
  }

  /** What it holds, in bytes, with what is lent and with what entries cost beside theirs. */
  get bytes(): number {
    return this.#bytes
  }

  /** How many parts wait in it; those that are lent are not among them. */
  get count(): number {
    return this.#entries.size
  }

  /** The lowest block of which a part of one of these kinds waits; undefined where none does. */
  lowestOf(kinds: ReadonlyArray<PartKind>): number | undefined {
    let lowest: number | undefined
    for (const { part } of this.#entries.values()) {
      if (!kinds.includes(part.kind)) continue
      if (lowest === undefined || part.blockNumber < lowest) lowest = part.blockNumber
    }
    return lowest
  }

  /** Whether less than half of it is taken. */
  get mostlyFree(): boolean {
    return this.#bytes * 2 < this.#mostBytes
  }

  /**
   * Whether there is or can be made room for that many bytes of parts of this block and later;
   * `single`: they are one part.
   */
  hasRoom(bytes: number, blockNumber: number, nowMs: number, single: boolean): boolean {
    return this.#goingFor(bytes + ENTRY_BYTES, blockNumber, nowMs, single) !== undefined
  }

  /**
   * Keeps a copy of the part; false when there is no room for it. One that is here already under the
   * same hash is replaced.
   */
  put(part: Part, nowMs: number): boolean {
    this.#remove(keyOf(part))
    const cost = costOf(part)
    const going = this.#goingFor(cost, part.blockNumber, nowMs, true)
    if (going === undefined) return false
    for (const key of going) this.#remove(key)
    this.#bytes += cost
    const copy = { ...part, hash: part.hash.slice(), bytes: part.bytes.slice() }
    this.#insert({ part: copy, sinceMs: nowMs })
    return true
  }

  /** Lends what there is of the block with this header. */
  lend(blockNumber: number, hash: Uint8Array): ReadonlyArray<Part> {
    if (!this.#keysOf.has(blockNumber)) return []
    const lent: Array<Part> = []
    for (const kind of ["bodies", "receipts"] as const) {
      const entry = this.#entries.get(keyOf({ kind, hash }))
      if (entry === undefined) continue
      this.#forget(entry.part)
      this.#lent.set(entry.part, entry.sinceMs)
      lent.push(entry.part)
    }
    return lent
  }

  /** Takes a lent part back. */
  takeBack(part: Part): void {
    const sinceMs = this.#lent.get(part)
    if (sinceMs === undefined) return
    this.#lent.delete(part)
    // Another of the same came meanwhile.
    this.#remove(keyOf(part))
    this.#insert({ part, sinceMs })
  }

  /** A lent part belongs to a whole block from now on. */
  usedUp(part: Part): void {
    if (this.#lent.delete(part)) this.#bytes -= costOf(part)
  }

  /** Drops what waits for the block, under any hash: it is whole. */
  drop(blockNumber: number): void {
    for (const key of this.#keysOf.get(blockNumber) ?? []) this.#remove(key)
  }

  /** What has to go for so many bytes of this block; undefined when that would not do. */
  #goingFor(
    bytes: number,
    blockNumber: number,
    nowMs: number,
    single: boolean,
  ): ReadonlySet<string> | undefined {
    let missing = this.#bytes + bytes - this.#mostBytes
    const going = new Set<string>()
    for (const [key, { part, sinceMs }] of this.#entries) {
      if (missing <= 0 || sinceMs + this.#keepMs > nowMs) break
      going.add(key)
      missing -= costOf(part)
    }
    // Alone, one part may be of any size: otherwise its block would never be whole.
    const alone = single ? Math.max(0, bytes - this.#mostBytes) : 0
    const fits = (): boolean => missing <= alone
    if (fits()) return going
    // Who is ahead of all others is told so without a search: it is the most frequent case.
    if (blockNumber >= this.#highest) return undefined
    const falling = [...this.#keysOf.keys()].sort((a, b) => b - a)
    this.#highest = falling[0] ?? -1
    for (const number of falling) {
      if (missing <= 0) return going
      if (number <= blockNumber) return undefined
      for (const key of this.#keysOf.get(number) ?? []) {
        if (going.has(key)) continue
        going.add(key)
        missing -= costOf(this.#entries.get(key)!.part)
      }
    }
    return fits() ? going : undefined
  }

  #insert(entry: Entry): void {
    const { blockNumber } = entry.part
    const key = keyOf(entry.part)
    this.#entries.set(key, entry)
    this.#highest = Math.max(this.#highest, blockNumber)
    const keys = this.#keysOf.get(blockNumber)
    if (keys === undefined) this.#keysOf.set(blockNumber, new Set([key]))
    else keys.add(key)
  }

  #remove(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#forget(entry.part)
    this.#bytes -= costOf(entry.part)
  }

  #forget(part: Part): void {
    const key = keyOf(part)
    this.#entries.delete(key)
    const keys = this.#keysOf.get(part.blockNumber)
    keys?.delete(key)
    if (keys?.size === 0) this.#keysOf.delete(part.blockNumber)
  }
}

const keyOf = ({ kind, hash }: Pick<Part, "kind" | "hash">): string => `${kind} ${toHex(hash)}`

const costOf = (part: Part): number => part.bytes.length + ENTRY_BYTES
