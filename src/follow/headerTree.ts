/**
 * Headers that peers sent, by their hash, and how each leads down to the stored chain. Pure.
 *
 * In: headers whose hashes were computed here, never taken from a peer. Out: for a head, the blocks
 * between it and the stored block that it descends from.
 *
 * ```
 *   stored   … ── 97 ── 98 ── 99 ── 100 = tip
 *                  └─── 98' ── 99' ── 100' ── 101'      ancestor 97, path 98' to 101'
 *        floor = tip less the window: what descends from no stored block above it is too deep
 * ```
 *
 * Invariants: a path is linked, each block the parent of the next, and the first one the child of
 * the ancestor; of each peer at most {@link MOST_HEADERS_OF_ONE} headers are kept, its oldest go first,
 * so that what one peer sends displaces nothing of another.
 */
import { toHex } from "../domain/hex.ts"

/** A block as its header names it. */
export interface BlockId {
  readonly number: number
  /** The hash, 64 hex digits. */
  readonly key: string
}

/** A header, as far as the links need it. */
export interface LinkedHeader extends BlockId {
  readonly parentKey: string
}

/** The top of the stored chain. */
export interface StoredTop {
  /** The last block of the stored run; one below its first where nothing is stored. */
  readonly tip: number
  /** The lowest block that may be an ancestor: the window's end, or the block below the run. */
  readonly floor: number
  /** Whether the floor is the block below the run: nothing is stored there that could be contradicted. */
  readonly floorIsOpen: boolean
  /** Hashes in hex from the floor, where it is stored, to the tip. */
  readonly hashes: ReadonlyMap<number, string>
}

/** How a head leads down to the stored chain. */
export type Descent =
  /** `path` rises from the ancestor's child to the head; empty: the head is stored. */
  | { readonly _tag: "Met"; readonly ancestor: number; readonly path: ReadonlyArray<LinkedHeader> }
  /** The header of `key` is to be asked for, and what lies below it. */
  | { readonly _tag: "Missing"; readonly number: number; readonly key: string }
  /** It leaves the stored chain below the floor; `key` is its block at the floor's height. */
  | { readonly _tag: "Deep"; readonly key: string }
  /** A header whose parent has another number than one less: no chain at all. */
  | { readonly _tag: "Broken" }
  /** The head lies below the floor: its peer is far behind. */
  | { readonly _tag: "Behind" }

/** Headers kept of one peer, some 200 bytes each: a deep window and what one answer holds above. */
export const MOST_HEADERS_OF_ONE = 1_536

/** A header, and how many peers' share it is in. */
interface Kept {
  readonly header: LinkedHeader
  owners: number
}

/** See the module. */
export class HeaderTree {
  readonly #headers = new Map<string, Kept>()
  /** The keys of each peer's headers, the youngest last. */
  readonly #shares = new Map<string, Set<string>>()

  get size(): number {
    return this.#headers.size
  }

  /** Keeps a header that `peerId` sent. */
  add(peerId: string, header: LinkedHeader): void {
    const share = this.#shares.get(peerId) ?? new Set()
    this.#shares.set(peerId, share)
    const kept = this.#headers.get(header.key) ?? { header, owners: 0 }
    this.#headers.set(header.key, kept)
    // Deleting first moves the header to the young end of the share's order.
    if (!share.delete(header.key)) kept.owners += 1
    share.add(header.key)
    for (const oldest of share) {
      if (share.size <= MOST_HEADERS_OF_ONE) return
      share.delete(oldest)
      this.#release(oldest)
    }
  }

  get(key: string): LinkedHeader | undefined {
    return this.#headers.get(key)?.header
  }

  /** Forgets the share of a peer; what others sent as well stays. */
  forget(peerId: string): void {
    for (const key of this.#shares.get(peerId) ?? []) this.#release(key)
    this.#shares.delete(peerId)
  }

  #release(key: string): void {
    const kept = this.#headers.get(key)
    if (kept === undefined) return
    kept.owners -= 1
    if (kept.owners === 0) this.#headers.delete(key)
  }

  /** How the block `key` leads down to the stored chain. */
  descend({ number, key }: BlockId, top: StoredTop): Descent {
    const path: Array<LinkedHeader> = []
    const met = (ancestor: number): Descent => ({
      _tag: "Met",
      ancestor,
      path: path.toReversed(),
    })
    for (let at: BlockId = { number, key }; ;) {
      if (top.hashes.get(at.number) === at.key) return met(at.number)
      if (at.number === top.floor && top.floorIsOpen) return met(at.number)
      if (at.number < top.floor) return { _tag: "Behind" }
      if (at.number === top.floor) return { _tag: "Deep", key: at.key }
      const header = this.get(at.key)
      if (header === undefined) return { _tag: "Missing", number: at.number, key: at.key }
      if (header.number !== at.number) return { _tag: "Broken" }
      path.push(header)
      at = { number: header.number - 1, key: header.parentKey }
    }
  }
}

/** What the tree keeps of a header whose hash was computed. */
export const linked = (number: number, hash: Uint8Array, parentHash: Uint8Array): LinkedHeader => ({
  number,
  key: toHex(hash),
  parentKey: toHex(parentHash),
})
