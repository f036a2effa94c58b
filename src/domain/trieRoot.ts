/**
 * Root of the Merkle Patricia trie that a header keeps over a list: rlp(index) → value.
 *
 * In: the values in order (a transaction or receipt as EIP-2718 has it: the RLP list, or
 * `type ‖ payload`; a withdrawal's RLP). Out: 32 bytes. Source: yellow paper, appendix D.
 *
 * No trie is built. The keys are known beforehand and free of prefixes, so their sorted order is
 * known too: 1…127 are single bytes, 0 is 0x80, then come 0x81 80…, 0x82 01 00…. A leaf depends on
 * its value and on how many nibbles its key shares with its neighbours in that order, so leaves are
 * written and hashed in the order in which the values come, many at a time and in the memory of the
 * hash function. Every other node is a run of the sorted order at some depth; it is written when
 * what is below it is hashed, into a slot that belongs to its depth and last nibble.
 *
 * Invariants:
 * - a node waits to be hashed only together with nodes that do not depend on it: before a node with
 *   branches below it is queued, all that waits is hashed;
 * - memory is bounded by the longest value, by {@link LEAF_AREA_BYTES} and by 33 bytes a value.
 *
 * Tested against @ethereumjs/mpt and the roots of real headers.
 */
import { EMPTY_TRIE_ROOT } from "./header.ts"
import { KeccakBatch, messageBytes } from "./keccakBatch.ts"
import { prefixBytes, RlpError, writePrefix } from "./rlp.ts"

/** More values than any block has; whoever sends more is refused before work is spent on them. */
export const MAX_TRIE_VALUES = 1 << 20

/** A branch: prefix (3), sixteen references (33 each at most), the empty value (1). */
const BRANCH_BYTES = 3 + 16 * 33 + 1
/** A branch with its padding, from wherever in the slot its prefix begins. */
const SLOT_BYTES = messageBytes(BRANCH_BYTES) + 8
/** Branches lie above each other at each of the eight nibbles of a key, no deeper. */
const SLOTS = 9 * 16
/** Leaves gathered before they are hashed: they and the list that they come from stay in the cache. */
const LEAF_AREA_BYTES = 192 * 1024
/** Prefixes and path in front of a leaf's value, at the most. */
const LEAF_OVERHEAD = 16
const MAX_JOBS = 1024

/** Root of the trie rlp(index) → `values[index]`; an RlpError above {@link MAX_TRIE_VALUES}. */
export const orderedTrieRoot = (values: ReadonlyArray<Uint8Array>): Uint8Array => {
  const trie = orderedTrie()
  trie.start(values.length)
  for (const value of values) trie.add(value, 0, value.length)
  return trie.root()
}

/**
 * The trie of one list at a time: {@link OrderedTrie.start}, each value in order by
 * {@link OrderedTrie.add} or {@link OrderedTrie.room}, {@link OrderedTrie.root}. To start anew
 * forgets what was under way.
 */
export class OrderedTrie {
  readonly #batch = new KeccakBatch(MAX_JOBS)
  readonly #slots = this.#batch.start
  readonly #rootAt = this.#slots + SLOTS * SLOT_BYTES
  readonly #digests = this.#rootAt + 32
  /** Of each value's leaf: 32 when its reference is a digest, its length when it is the leaf. */
  #references = new Uint8Array(0)
  #count = 0
  #added = 0
  #leafArea = 0
  #leafAreaEnd = 0
  /** Where the last leaf lies, and from where on the area is free. */
  #leafStart = 0
  #leafEnd = 0
  #freeAt = 0
  /** Index and place of leaves that are shorter than a digest. */
  #short: Array<readonly [index: number, at: number]> = []
  /** Where {@link OrderedTrie.#writeNode} left its node; read straight after the call. */
  #nodeStart = 0
  #nodeEnd = 0
  /** How many nodes above leaves were queued to be hashed, ever. */
  #queued = 0

  /** The memory that {@link OrderedTrie.room} gives places in; ask again after each of its calls. */
  get bytes(): Uint8Array {
    return this.#batch.bytes
  }

  /** Begins the trie of `count` values; an RlpError above {@link MAX_TRIE_VALUES}. */
  start(count: number): void {
    if (count > MAX_TRIE_VALUES) throw new RlpError("more values than any block has", 0)
    this.#batch.clear()
    this.#short = []
    this.#count = count
    this.#added = 0
    if (this.#references.length < count) this.#references = new Uint8Array(count)
    this.#leafArea = this.#digests + 32 * count
    this.#freeAt = this.#leafArea
    this.#leafAreaEnd = this.#leafArea + LEAF_AREA_BYTES
    this.#batch.reserve(this.#leafAreaEnd)
  }

  /** Adds the next value, `bytes[from, to)`. */
  add(bytes: Uint8Array, from: number, to: number): void {
    const at = this.#leaf(to - from, bytes[from] ?? 0)
    this.#batch.bytes.set(bytes.subarray(from, to), at)
  }

  /** Whether {@link OrderedTrie.room} for `length` bytes leaves what is written until now alone. */
  fits(length: number): boolean {
    if (this.#batch.full) return false
    return this.#freeAt + messageBytes(length + LEAF_OVERHEAD) <= this.#leafAreaEnd
  }

  /**
   * Adds the next value, of `length` bytes, two or more, and gives the place in `bytes` where the
   * caller writes it. Where it does not fit, all earlier values must be written before.
   */
  room(length: number): number {
    // Only a value of one byte can be without a prefix.
    return this.#leaf(length, 0xff)
  }

  /** The root of the values, all of which must have been added: a fresh array of 32 bytes. */
  root(): Uint8Array {
    if (this.#added !== this.#count) throw new RangeError(`${this.#added} of ${this.#count} values`)
    if (this.#count === 0) return EMPTY_TRIE_ROOT.slice()
    if (this.#count === 1) {
      this.#nodeStart = this.#leafStart
      this.#nodeEnd = this.#leafEnd
    } else {
      this.#hashLeaves()
      this.#writeNode(0, this.#count - 1, 0, this.#slots)
    }
    this.#batch.add(this.#nodeStart, this.#nodeEnd - this.#nodeStart, this.#rootAt)
    this.#batch.run()
    return this.#batch.bytes.slice(this.#rootAt, this.#rootAt + 32)
  }

  /** Writes the next value's leaf, all but the value, and gives where the value goes. */
  #leaf(length: number, firstByte: number): number {
    const index = this.#added
    if (index === this.#count) throw new RangeError(`more than ${this.#count} values`)
    if (!this.fits(length)) this.#makeRoom(length)
    const { bytes } = this.#batch
    const depth = leafDepth(index, this.#count)
    const path = pathBytes(keyNibbles(index) - depth)
    const prefixed = length !== 1 || firstByte >= 0x80
    const payload = path + (prefixed ? prefixBytes(length) : 0) + length
    const start = this.#freeAt
    let at = writePrefix(bytes, start, payload, 0xc0)
    at = writePath(bytes, at, index, depth, keyNibbles(index), 2)
    if (prefixed) at = writePrefix(bytes, at, length, 0x80)
    this.#leafStart = start
    this.#leafEnd = at + length
    this.#freeAt = start + messageBytes(this.#leafEnd - start)
    this.#added += 1
    if (this.#count > 1) this.#queueLeaf(index, start, this.#leafEnd - start)
    return at
  }

  #queueLeaf(index: number, start: number, length: number): void {
    this.#references[index] = Math.min(length, 32)
    if (length < 32) this.#short.push([index, start])
    else this.#batch.add(start, length, this.#digests + 32 * index)
  }

  #makeRoom(length: number): void {
    this.#hashLeaves()
    const end = this.#leafArea + messageBytes(length + LEAF_OVERHEAD)
    if (end <= this.#leafAreaEnd) return
    this.#leafAreaEnd = end
    this.#batch.reserve(end)
  }

  #hashLeaves(): void {
    const { bytes } = this.#batch
    for (const [index, at] of this.#short) {
      bytes.copyWithin(this.#digests + 32 * index, at, at + this.#references[index]!)
    }
    this.#short = []
    this.#batch.run()
    this.#freeAt = this.#leafArea
  }

  /**
   * Writes the node over the sorted positions `first` to `last`, two or more, at `depth` nibbles
   * into `slot`, with all references in it complete, and leaves its bounds in the fields.
   */
  #writeNode(first: number, last: number, depth: number, slot: number): void {
    const { bytes } = this.#batch
    const low = indexAt(first, this.#count)
    const high = indexAt(last, this.#count)
    // The order is sorted, so what the ends share, all in between share.
    let shared = depth
    while (nibbleAt(low, shared) === nibbleAt(high, shared)) shared += 1
    const queued = this.#queued
    const body = slot + 3
    const end =
      shared === depth
        ? this.#writeBranch(first, last, depth, body)
        : this.#reference(first, last, shared, 0, writePath(bytes, body, low, depth, shared, 0))
    if (this.#queued > queued) this.#batch.run()
    this.#nodeStart = body - prefixBytes(end - body)
    this.#nodeEnd = end
    writePrefix(bytes, this.#nodeStart, end - body, 0xc0)
  }

  /** Writes a branch's payload at `at` and gives the end of it. */
  #writeBranch(first: number, last: number, depth: number, at: number): number {
    const { bytes } = this.#batch
    let cursor = at
    let from = first
    for (let nibble = 0; nibble < 16; nibble++) {
      let to = from
      while (to <= last && nibbleAt(indexAt(to, this.#count), depth) === nibble) to += 1
      if (to === from) bytes[cursor++] = 0x80
      else cursor = this.#reference(from, to - 1, depth + 1, nibble, cursor)
      from = to
    }
    bytes[cursor++] = 0x80 // no key ends at a branch: rlp(index) is free of prefixes
    return cursor
  }

  /** Writes the reference of the node over `first` to `last` at `at`, and gives the end of it. */
  #reference(first: number, last: number, depth: number, nibble: number, at: number): number {
    const { bytes } = this.#batch
    if (first === last) {
      const index = indexAt(first, this.#count)
      const length = this.#references[index]!
      const from = this.#digests + 32 * index
      if (length < 32) return copy(bytes, at, from, length)
      bytes[at] = 0xa0
      return copy(bytes, at + 1, from, 32)
    }
    this.#writeNode(first, last, depth, this.#slots + SLOT_BYTES * (16 * depth + nibble))
    const length = this.#nodeEnd - this.#nodeStart
    if (length < 32) return copy(bytes, at, this.#nodeStart, length)
    bytes[at] = 0xa0
    this.#batch.add(this.#nodeStart, length, at + 1)
    this.#queued += 1
    return at + 33
  }
}

let shared: OrderedTrie | undefined

/** The thread's trie: one, since its memory is reused and each list is done at once. */
export const orderedTrie = (): OrderedTrie => (shared ??= new OrderedTrie())

const copy = (bytes: Uint8Array, at: number, from: number, length: number): number => {
  bytes.copyWithin(at, from, from + length)
  return at + length
}

/** The index whose key comes at `position` in the sorted order of `count` keys. */
const indexAt = (position: number, count: number): number => {
  const small = Math.min(count, 128) - 1
  if (position < small) return position + 1
  return position === small ? 0 : position
}

/** Where the key of `index` comes in the sorted order: the inverse of {@link indexAt}. */
const positionOf = (index: number, count: number): number => {
  if (index >= 128) return index
  return index === 0 ? Math.min(count, 128) - 1 : index - 1
}

/** rlp(index) as an integer of `keyNibbles(index)` nibbles. */
const keyOf = (index: number): number => {
  if (index === 0) return 0x80
  if (index < 0x80) return index
  if (index < 0x100) return 0x8100 | index
  if (index < 0x10000) return 0x820000 | index
  return 0x83000000 + index
}

const keyNibbles = (index: number): number => {
  if (index < 0x80) return 2
  if (index < 0x100) return 4
  return index < 0x10000 ? 6 : 8
}

const nibbleAt = (index: number, depth: number): number =>
  (keyOf(index) >>> (4 * (keyNibbles(index) - 1 - depth))) & 15

/** How many nibbles the keys of two indexes share. */
const sharedNibbles = (a: number, b: number): number => {
  let depth = 0
  while (nibbleAt(a, depth) === nibbleAt(b, depth)) depth += 1
  return depth
}

/** At how many nibbles the leaf of `index` lies: one past what it shares with a neighbour. */
const leafDepth = (index: number, count: number): number => {
  if (count === 1) return 0
  const at = positionOf(index, count)
  const before = at === 0 ? 0 : sharedNibbles(index, indexAt(at - 1, count))
  const after = at === count - 1 ? 0 : sharedNibbles(index, indexAt(at + 1, count))
  return 1 + Math.max(before, after)
}

/** How many bytes a path of `nibbles` takes as an RLP string in hex-prefix form. */
const pathBytes = (nibbles: number): number => {
  const bytes = 1 + (nibbles >> 1)
  return bytes === 1 ? 1 : 1 + bytes
}

/** The nibbles `[from, to)` of a key in hex-prefix form (appendix C), as an RLP string. */
const writePath = (
  scratch: Uint8Array,
  at: number,
  index: number,
  from: number,
  to: number,
  flag: 0 | 2,
): number => {
  const length = to - from
  const odd = length & 1
  const bytes = 1 + ((length - odd) >> 1)
  let cursor = at
  // A single byte is below 0x40 here and so its own encoding.
  if (bytes > 1) scratch[cursor++] = 0x80 + bytes
  let depth = from
  scratch[cursor++] = ((flag | odd) << 4) | (odd === 1 ? nibbleAt(index, depth++) : 0)
  for (; depth < to; depth += 2) {
    scratch[cursor++] = (nibbleAt(index, depth) << 4) | nibbleAt(index, depth + 1)
  }
  return cursor
}
