/** RLP itself, against @ethereumjs/rlp: what we accept it accepts, and both mean the same. */
import { type NestedUint8Array, RLP } from "@ethereumjs/rlp"
import { nextQuantity, quantityToBigInt } from "../../../src/domain/quantity.ts"
import {
  encodeBytes,
  encodeList,
  encodeUint,
  RlpError,
  RlpReader,
} from "../../../src/domain/rlp.ts"
import { agree, agreeBytes, attempt, type FuzzTarget } from "../target.ts"

type Tree = Uint8Array | ReadonlyArray<Tree>

/** No decoder of ours goes deeper; the library would, by recursion. */
const MAX_DEPTH = 100

export const rlp: FuzzTarget = {
  name: "rlp",
  testInputs: 800,
  kind: "rlp",
  // Walking 64 KiB takes 0.2 ms; all that is compared takes four hundred times as long.
  cpuMs: 1_000,
  seeds: ({ blocks, messages }) => [
    ...blocks.slice(0, 12).map(({ header }) => header),
    ...messages.slice(0, 24).map(({ payload }) => payload),
    Uint8Array.of(0x80),
    encodeList([encodeUint(2n ** 64n), encodeBytes(new Uint8Array(60))]),
  ],
  run: (input) => {
    const tree = attempt(() => readAll(new RlpReader(input), 0), RlpError)
    if (tree === undefined || tree.length !== 1 || tree[0] === undefined) return
    agreeBytes(encode(tree[0]), input, "what was read is written as it came")
    agreeBytes(encode(RLP.decode(input)), input, "the library reads the same")
  },
}

const readAll = (reader: RlpReader, depth: number): ReadonlyArray<Tree> | undefined => {
  if (depth > MAX_DEPTH) return undefined
  const counted = reader.countRest()
  const items: Array<Tree> = []
  while (!reader.done) {
    reader.next()
    if (!reader.isList) {
      items.push(reader.payload())
      readNumbers(reader.item())
      continue
    }
    const inner = readAll(reader.enter(), depth + 1)
    if (inner === undefined) return undefined
    items.push(inner)
  }
  agree(items.length === counted, "as many items are counted as are read")
  return items
}

/** All readers of integers agree on an item, and write it as it came. */
const readNumbers = (item: Uint8Array): void => {
  const small = attempt(() => new RlpReader(item).nextUint(), RlpError)
  const large = attempt(() => new RlpReader(item).nextBigUint(), RlpError)
  const quantity = attempt(() => nextQuantity(new RlpReader(item)), RlpError)
  agree((large === undefined) === (quantity === undefined), "integers have one form")
  if (large === undefined || quantity === undefined) return agree(small === undefined, "one form")
  agreeBytes(encodeUint(large), item, "an integer is written as it came")
  agree(quantityToBigInt(quantity) === large, "a quantity is the same integer")
  agree((small !== undefined) === large <= BigInt(Number.MAX_SAFE_INTEGER), "up to 2^53 - 1")
  agree(small === undefined || BigInt(small) === large, "a small integer is exact")
}

const encode = (tree: Tree | NestedUint8Array): Uint8Array =>
  tree instanceof Uint8Array ? encodeBytes(tree) : encodeList(tree.map(encode))
