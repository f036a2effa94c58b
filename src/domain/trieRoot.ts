/**
 * Root of the Merkle Patricia trie that a header keeps over a list: rlp(index) → value.
 *
 * In: the values in order (a transaction or receipt as EIP-2718 has it: the RLP list, or
 * `type ‖ payload`; a withdrawal's RLP). Out: 32 bytes. Source: yellow paper, appendix D.
 *
 * No trie is built. The keys are known beforehand and free of prefixes, so their sorted order is
 * known too: 1…127 are single bytes, 0 is 0x80, then come 0x81 80…, 0x82 01 00…. Every node is a
 * run of that order at some depth; a node writes its children's references into the one scratch
 * buffer, hashes itself and leaves its own reference in its place.
 *
 * Tested against @ethereumjs/mpt and the roots of real headers.
 */
import { EMPTY_TRIE_ROOT } from "./header.ts"
import { keccak256 } from "./keccak.ts"

/** More values than fit into any message; keys are packed into four bytes. */
const MAX_VALUES = 1 << 24

/** A branch: prefix (3), sixteen references (33 each at most), the empty value (1). */
const BRANCH_BYTES = 3 + 16 * 33 + 1
/** Branches can lie above each other at each of the eight nibbles of a key, no deeper. */
const SCRATCH_BYTES = 9 * BRANCH_BYTES + 64

/** Root of the trie rlp(index) → `values[index]`. More than 2^24 values are a RangeError. */
export const orderedTrieRoot = (values: ReadonlyArray<Uint8Array>): Uint8Array => {
  const count = values.length
  if (count === 0) return EMPTY_TRIE_ROOT.slice()
  if (count > MAX_VALUES) throw new RangeError(`${count} values`)
  let longest = 0
  for (const value of values) if (value.length > longest) longest = value.length
  const trie: Trie = { values, scratch: new Uint8Array(SCRATCH_BYTES + longest) }
  writeNode(trie, 0, count - 1, 0, 0)
  return keccak256(trie.scratch.subarray(nodeStart, nodeEnd))
}

interface Trie {
  readonly values: ReadonlyArray<Uint8Array>
  readonly scratch: Uint8Array
}

/**
 * Where `writeNode` left its node. Variables of the module, since an object per node is what this
 * file avoids; they are read straight after the call, before another can change them.
 */
let nodeStart = 0
let nodeEnd = 0

/** The index whose key comes at `position` in the sorted order of `count` keys. */
const indexAt = (position: number, count: number): number => {
  const small = Math.min(count, 128) - 1
  if (position < small) return position + 1
  return position === small ? 0 : position
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

/**
 * Writes the node over the sorted positions `first` to `last` at `depth` nibbles into the scratch
 * buffer, somewhere from `at` on, and leaves its bounds in `nodeStart` and `nodeEnd`.
 */
const writeNode = (trie: Trie, first: number, last: number, depth: number, at: number): void => {
  const count = trie.values.length
  const low = indexAt(first, count)
  if (first === last) return writeLeaf(trie, low, depth, at)
  const high = indexAt(last, count)
  // The order is sorted, so what the ends share, all in between share.
  let shared = depth
  while (nibbleAt(low, shared) === nibbleAt(high, shared)) shared += 1
  return shared > depth
    ? writeExtension(trie, first, last, depth, shared, at)
    : writeBranch(trie, first, last, depth, at)
}

const writeLeaf = (trie: Trie, index: number, depth: number, at: number): void => {
  const { scratch } = trie
  const value = trie.values[index]!
  const body = at + 9
  let cursor = writePath(scratch, body, index, depth, keyNibbles(index), 2)
  if (value.length !== 1 || value[0]! >= 0x80) {
    cursor = writePrefix(scratch, cursor, value.length, 0x80)
  }
  scratch.set(value, cursor)
  finishNode(scratch, body, cursor + value.length)
}

const writeExtension = (
  trie: Trie,
  first: number,
  last: number,
  depth: number,
  shared: number,
  at: number,
): void => {
  const { scratch } = trie
  const body = at + 9
  const child = writePath(scratch, body, indexAt(first, trie.values.length), depth, shared, 0)
  writeNode(trie, first, last, shared, child)
  finishNode(scratch, body, writeReference(scratch, child))
}

const writeBranch = (trie: Trie, first: number, last: number, depth: number, at: number): void => {
  const { scratch } = trie
  const count = trie.values.length
  const body = at + 3
  let cursor = body
  let from = first
  for (let nibble = 0; nibble < 16; nibble++) {
    let to = from
    while (to <= last && nibbleAt(indexAt(to, count), depth) === nibble) to += 1
    if (to === from) {
      scratch[cursor++] = 0x80
      continue
    }
    writeNode(trie, from, to - 1, depth + 1, cursor)
    cursor = writeReference(scratch, cursor)
    from = to
  }
  scratch[cursor++] = 0x80 // no key ends at a branch: rlp(index) is free of prefixes
  finishNode(scratch, body, cursor)
}

/** Puts the list prefix in front of a node's payload `[body, end)`; 3 or 9 bytes are free there. */
const finishNode = (scratch: Uint8Array, body: number, end: number): void => {
  const start = body - prefixBytes(end - body)
  writePrefix(scratch, start, end - body, 0xc0)
  nodeStart = start
  nodeEnd = end
}

/** Turns the node written last into its reference at `at` and gives the end of that. */
const writeReference = (scratch: Uint8Array, at: number): number => {
  if (nodeEnd - nodeStart < 32) {
    scratch.copyWithin(at, nodeStart, nodeEnd)
    return at + nodeEnd - nodeStart
  }
  const hash = keccak256(scratch.subarray(nodeStart, nodeEnd))
  scratch[at] = 0xa0
  scratch.set(hash, at + 1)
  return at + 33
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

/** How many bytes the RLP prefix of `length` payload bytes takes. */
const prefixBytes = (length: number): number => {
  if (length <= 55) return 1
  if (length < 0x100) return 2
  if (length < 0x10000) return 3
  return length < 0x1000000 ? 4 : 5
}

const writePrefix = (
  scratch: Uint8Array,
  at: number,
  length: number,
  base: 0x80 | 0xc0,
): number => {
  const width = prefixBytes(length) - 1
  let cursor = at
  scratch[cursor++] = base + (width === 0 ? length : 55 + width)
  for (let shift = 8 * (width - 1); shift >= 0; shift -= 8) {
    scratch[cursor++] = (length >>> shift) & 255
  }
  return cursor
}
