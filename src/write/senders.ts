/**
 * Who sent the blocks that are in the store: kept as ranges a peer, so that a block that turns out
 * wrong long after it was committed still has somebody to blame. Bounded: when there are too many
 * ranges, the peer that is longest unheard of is forgotten, and its blocks are nobody's.
 */
import { and, between, BlockRanges } from "../domain/blockRanges.ts"

/** Ranges kept in all; some 100 bytes each. */
const MOST_RANGES = 100_000

/** A part of what was asked about, and who sent it. */
export interface Sent {
  readonly blocks: BlockRanges
  /** Undefined where it is not known (any more). */
  readonly peerId: string | undefined
}

/** See the module. */
export class Senders {
  readonly #byPeer = new Map<string, BlockRanges>()
  #ranges = 0

  /** Notes that `peerId` sent the block. */
  add(blockNumber: number, peerId: string): void {
    const before = this.#byPeer.get(peerId) ?? BlockRanges.empty
    const after = before.add(blockNumber, blockNumber)
    this.#ranges += after.rangeCount - before.rangeCount
    // Deleting first moves the peer to the young end of the map's order.
    this.#byPeer.delete(peerId)
    this.#byPeer.set(peerId, after)
    while (this.#ranges > MOST_RANGES && this.#byPeer.size > 1) this.#forgetOldest()
  }

  /** Who sent the block, without forgetting it; undefined where that is not known (any more). */
  of(blockNumber: number): string | undefined {
    for (const [peerId, blocks] of this.#byPeer) if (blocks.has(blockNumber)) return peerId
    return undefined
  }

  /** Says who sent the blocks from `from` to `to`, each in exactly one part, and forgets it. */
  take(from: number, to: number): ReadonlyArray<Sent> {
    const parts: Array<Sent> = []
    let unknown = BlockRanges.of(from, to)
    for (const [peerId, blocks] of this.#byPeer) {
      const asked = and(blocks, between(from, to))
      let sent = BlockRanges.empty
      for (let block = asked.next(from); block !== undefined;) {
        const last = asked.runEnd(block)
        sent = sent.add(block, last)
        block = asked.next(last + 1)
      }
      if (sent.count === 0) continue
      const rest = blocks.remove(from, to)
      this.#ranges += rest.rangeCount - blocks.rangeCount
      this.#byPeer.set(peerId, rest)
      parts.push({ blocks: sent, peerId })
      unknown = unknown.subtract(sent)
    }
    return unknown.count > 0 ? [...parts, { blocks: unknown, peerId: undefined }] : parts
  }

  #forgetOldest(): void {
    const [oldest] = this.#byPeer
    if (oldest === undefined) return
    this.#ranges -= oldest[1].rangeCount
    this.#byPeer.delete(oldest[0])
  }
}
