/**
 * RLP as a tree that can be altered and written again with lengths that fit: changes of single
 * bytes almost never get past the outermost length.
 *
 * A tree may hold what no encoder writes ({@link RawNode}), so that non-canonical forms can be put
 * deep inside canonical ones.
 */
import { concatBytes, encodeBytes, encodeList, RlpError, RlpReader } from "../../src/domain/rlp.ts"

/** A byte string. */
interface StringNode {
  readonly kind: "string"
  readonly bytes: Uint8Array
}

/** A list. */
export interface ListNode {
  readonly kind: "list"
  readonly items: Array<Node>
}

/** Items one after the other inside a byte string: a typed transaction or receipt (EIP-2718). */
interface WrappedNode {
  readonly kind: "wrapped"
  readonly items: Array<Node>
}

/** Bytes that stand for themselves, RLP or not. */
interface RawNode {
  readonly kind: "raw"
  readonly bytes: Uint8Array
}

/** A part of a tree. */
export type Node = StringNode | ListNode | WrappedNode | RawNode

/** Whole inputs with more items are altered at their outer levels only. */
const MAX_NODES = 4_000
const MAX_DEPTH = 12

/** The items that `bytes` are, one after the other; what is no item at the end is raw. */
export const parseItems = (bytes: Uint8Array): Array<Node> => {
  const budget = { left: MAX_NODES }
  const reader = new RlpReader(bytes)
  const items: Array<Node> = []
  try {
    while (!reader.done) items.push(readNode(reader.next(), budget, 0))
  } catch (error) {
    if (!(error instanceof RlpError)) throw error
    items.push({ kind: "raw", bytes: reader.rest() })
  }
  return items
}

/** The bytes of items. */
export const writeItems = (items: ReadonlyArray<Node>): Uint8Array =>
  concatBytes(items.map(writeNode))

/** The bytes of one node. */
export const writeNode = (node: Node): Uint8Array => {
  switch (node.kind) {
    case "string":
      return encodeBytes(node.bytes)
    case "raw":
      return node.bytes
    case "list":
      return encodeList(node.items.map(writeNode))
    case "wrapped":
      return encodeBytes(writeItems(node.items))
  }
}

/** Every array of siblings in the tree, the outermost first. */
export const siblingsIn = (items: Array<Node>): Array<Array<Node>> => {
  const found: Array<Array<Node>> = [items]
  for (let at = 0; at < found.length; at++) {
    for (const node of found[at]!) {
      if (node.kind === "list" || node.kind === "wrapped") found.push(node.items)
    }
  }
  return found
}

interface Budget {
  left: number
}

const readNode = (reader: RlpReader, budget: Budget, depth: number): Node => {
  const deeper = (budget.left -= 1) > 0 && depth < MAX_DEPTH
  const payload = reader.payload()
  if (!reader.isList) return (deeper && readWrapped(payload, budget, depth)) || asString(payload)
  if (!deeper) return { kind: "raw", bytes: reader.item() }
  return { kind: "list", items: readAll(payload, budget, depth + 1) ?? [asString(payload)] }
}

const asString = (bytes: Uint8Array): Node => ({ kind: "string", bytes })

/** A type's byte and a list. */
const readWrapped = (payload: Uint8Array, budget: Budget, depth: number): Node | undefined => {
  if (payload.length < 2 || payload[0]! > 0x7f || payload[1]! < 0xc0) return undefined
  const items = readAll(payload, budget, depth + 1)
  return items && { kind: "wrapped", items }
}

const readAll = (payload: Uint8Array, budget: Budget, depth: number): Array<Node> | undefined => {
  const reader = new RlpReader(payload)
  const items: Array<Node> = []
  try {
    while (!reader.done) items.push(readNode(reader.next(), budget, depth))
    return items
  } catch (error) {
    if (error instanceof RlpError) return undefined
    throw error
  }
}
