/**
 * New inputs from old ones: bytes turned over, RLP altered inside its lengths, pieces of text put
 * in. Deterministic: the same numbers give the same inputs.
 */
import { concatBytes, encodeBytes, encodeList, uintBytes } from "../../src/domain/rlp.ts"
import type { Random } from "./random.ts"
import { type Node, parseItems, siblingsIn, writeItems, writeNode } from "./rlpTree.ts"
import { bytesOf, type FuzzTarget, MAX_INPUT_BYTES } from "./target.ts"

/** An input made of `input`; `other` is another one of the corpus, to be mixed in. */
export const mutate = (
  { kind, tokens }: Pick<FuzzTarget, "kind" | "tokens">,
  input: Uint8Array,
  other: Uint8Array,
  random: Random,
): Uint8Array => {
  let result = input
  for (let rounds = 1 + random.below(3); rounds > 0; rounds--) {
    if (kind === "rlp" && random.below(8) > 0) result = mutateRlp(result, other, random)
    else if (kind === "text" && random.below(2) === 0)
      result = mutateText(result, other, tokens ?? [], random)
    else result = mutateBytes(result, other, random)
  }
  return result.length > MAX_INPUT_BYTES ? result.subarray(0, MAX_INPUT_BYTES) : result
}

const BORDER_BYTES = [0x00, 0x01, 0x7f, 0x80, 0x81, 0xb7, 0xb8, 0xbf, 0xc0, 0xc1, 0xf7, 0xf8, 0xff]

const randomBytes = (random: Random, length: number): Uint8Array =>
  Uint8Array.from({ length }, () => random.below(256))

/** Replaces `bytes[from, to)`. */
const spliced = (
  bytes: Uint8Array,
  from: number,
  to: number,
  put: Uint8Array = new Uint8Array(0),
): Uint8Array => concatBytes([bytes.subarray(0, from), put, bytes.subarray(to)])

const rangeIn = (bytes: Uint8Array, random: Random): readonly [number, number] => {
  const from = random.below(bytes.length + 1)
  const most = random.below(8) === 0 ? bytes.length : 8
  return [from, Math.min(bytes.length, from + random.below(most + 1))]
}

/** Alters single bytes and ranges, whatever they mean. */
export const mutateBytes = (input: Uint8Array, other: Uint8Array, random: Random): Uint8Array => {
  const copy = new Uint8Array(input)
  const at = random.below(Math.max(1, copy.length))
  const [from, to] = rangeIn(copy, random)
  switch (random.below(9)) {
    case 0:
      if (copy.length > 0) copy[at]! ^= 1 << random.below(8)
      return copy
    case 1:
      if (copy.length > 0) copy[at] = random.pick(BORDER_BYTES)
      return copy
    case 2:
      if (copy.length > 0) copy[at] = random.below(256)
      return copy
    case 3:
      return spliced(copy, from, to)
    case 4:
      return spliced(copy, at, at, randomBytes(random, 1 + random.below(10)))
    case 5:
      return spliced(copy, at, at, copy.subarray(from, to))
    case 6:
      return copy.subarray(0, at)
    case 7: {
      const [otherFrom, otherTo] = rangeIn(other, random)
      return spliced(copy, from, to, other.subarray(otherFrom, otherTo))
    }
    default: {
      const border = uintBytes(random.pick(BORDER_INTEGERS))
      copy.set(
        border.subarray(0, copy.length - Math.min(at, copy.length)),
        Math.min(at, copy.length),
      )
      return copy
    }
  }
}

const BORDER_INTEGERS = [
  0n,
  1n,
  55n,
  56n,
  0x7fn,
  0x80n,
  0xffn,
  0x100n,
  0xffffn,
  0x10000n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 48n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
  2n ** 64n,
  2n ** 255n,
  2n ** 256n - 1n,
  2n ** 256n,
]

/** Widths that fields have, and their neighbours. */
const WIDTHS = [0, 1, 2, 4, 7, 8, 9, 16, 19, 20, 21, 31, 32, 33, 55, 56, 64, 65, 255, 256, 257]

/** Items as no canonical encoder writes them, or with lengths that lie. */
const strangeItem = (random: Random): Uint8Array => {
  const huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]
  return Uint8Array.from(
    random.pick([
      [0x81, 0x05],
      [0xb8, 0x01, 0xff],
      [0xb8, 0x37, ...Array<number>(55).fill(1)],
      [0xb9, 0x00, 0x38, ...Array<number>(56).fill(1)],
      [0xf8, 0x00],
      [0xf8, 0x01, 0x80],
      [0xf9, 0x00, 0x38, ...Array<number>(56).fill(0x80)],
      [0xbb, ...huge.slice(0, 4)],
      [0xbf, ...huge],
      [0xff, ...huge],
      [0xff, 0, 0, 0, 0, 0, 0, 0, 0],
      [0xfb, 0x7f, 0xff, 0xff, 0xff],
      [0xfd, 0x10, 0, 0, 0, 0, 0],
      [0xfe, 0x01, 0, 0, 0, 0, 0, 0],
      [0xb7],
      [0x82, 0x00, 0x01],
      [0x00],
    ]),
  )
}

const someItem = (random: Random): Node => {
  switch (random.below(5)) {
    case 0:
      return { kind: "string", bytes: uintBytes(random.pick(BORDER_INTEGERS)) }
    case 1:
      return { kind: "string", bytes: randomBytes(random, random.pick(WIDTHS)) }
    case 2:
      return { kind: "list", items: [] }
    case 3:
      return { kind: "raw", bytes: strangeItem(random) }
    default:
      return { kind: "string", bytes: new Uint8Array(random.pick(WIDTHS)) }
  }
}

/** `item` in as many lists as `depth` says, without recursion. */
const nested = (item: Uint8Array, depth: number): Uint8Array => {
  let result = item
  for (let i = 0; i < depth; i++) result = encodeList([result])
  return result
}

/** Alters one item and writes all lengths around it anew. */
export const mutateRlp = (input: Uint8Array, other: Uint8Array, random: Random): Uint8Array => {
  const items = parseItems(input)
  const siblings = random.pick(siblingsIn(items))
  const at = random.below(siblings.length + 1)
  const node = siblings[at]
  if (node === undefined)
    siblings.push(random.below(2) === 0 ? someItem(random) : pickNode(items, random))
  else alter(siblings, at, node, { items, other }, random)
  return writeItems(items)
}

const pickNode = (items: Array<Node>, random: Random): Node => {
  const siblings = random.pick(siblingsIn(items))
  return siblings.length === 0
    ? someItem(random)
    : { kind: "raw", bytes: writeNode(random.pick(siblings)) }
}

const alter = (
  siblings: Array<Node>,
  at: number,
  node: Node,
  { items, other }: { readonly items: Array<Node>; readonly other: Uint8Array },
  random: Random,
): void => {
  switch (random.below(11)) {
    case 0:
      siblings.splice(at, 1)
      return
    case 1: {
      const item: Node = { kind: "raw", bytes: writeNode(node) }
      const many = random.below(20) === 0 ? 1 + random.below(300) : 1 + random.below(3)
      const fitting = Math.ceil(MAX_INPUT_BYTES / Math.max(1, item.bytes.length))
      siblings.splice(at, 0, ...Array.from({ length: Math.min(many, fitting) }, () => item))
      return
    }
    case 2:
      siblings[at] = pickNode(items, random)
      return
    case 3:
      siblings[at] = pickNode(parseItems(other), random)
      return
    case 4:
      siblings[at] = { kind: "list", items: [node] }
      return
    case 5:
      siblings[at] =
        node.kind === "list"
          ? { kind: "string", bytes: writeItems(node.items) }
          : { kind: "raw", bytes: encodeBytes(writeNode(node)) }
      return
    case 6:
      siblings[at] = {
        kind: "raw",
        bytes: nested(writeNode(node), random.pick([2, 10, 100, 1000])),
      }
      return
    case 7:
    case 8:
      siblings[at] =
        node.kind === "string"
          ? { kind: "string", bytes: mutateBytes(node.bytes, other, random) }
          : { kind: "raw", bytes: mutateBytes(writeNode(node), other, random) }
      return
    default:
      siblings[at] = someItem(random)
  }
}

/** Puts pieces in, doubles lines, and exchanges numbers. */
const mutateText = (
  input: Uint8Array,
  other: Uint8Array,
  tokens: ReadonlyArray<string>,
  random: Random,
): Uint8Array => {
  const [from, to] = rangeIn(input, random)
  const token = tokens.length === 0 ? other.subarray(0, 32) : bytesOf(random.pick(tokens))
  switch (random.below(4)) {
    case 0:
      return spliced(input, from, from, token)
    case 1:
      return spliced(input, from, to, token)
    case 2: {
      // One value or name for another: what stands between two of these signs.
      const starts: Array<number> = []
      for (const [index, byte] of input.entries())
        if (`":,{}[]@?&=/\n `.includes(String.fromCharCode(byte))) starts.push(index)
      if (starts.length < 2) return spliced(input, from, to, token)
      const which = random.below(starts.length - 1)
      return spliced(input, starts[which]! + 1, starts[which + 1]!, token)
    }
    default: {
      const digits: Array<number> = []
      for (const [index, byte] of input.entries())
        if (byte >= 0x30 && byte <= 0x39) digits.push(index)
      if (digits.length === 0) return spliced(input, from, from, token)
      const copy = new Uint8Array(input)
      copy[random.pick(digits)] = 0x30 + random.below(10)
      return copy
    }
  }
}
