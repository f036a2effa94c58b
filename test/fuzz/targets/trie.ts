/** The trie of a list against @ethereumjs/mpt: any values, as many as the input has items. */
import { createMPT } from "@ethereumjs/mpt"
import { receipts68To69 } from "../../../src/domain/receipts.ts"
import { encodeUint, RlpError, RlpReader } from "../../../src/domain/rlp.ts"
import { keccak256 } from "../../../src/domain/keccak.ts"
import { orderedTrieRoot } from "../../../src/domain/trieRoot.ts"
import { agreeBytes, attempt, type FuzzTarget } from "../target.ts"

/** The library takes about a millisecond a value. */
const MAX_VALUES = 20

export const trie: FuzzTarget = {
  name: "trie",
  testInputs: 800,
  kind: "rlp",
  // The library's work counts too.
  cpuMs: 500,
  seeds: ({ blocks }) =>
    blocks
      .flatMap(({ body, receipts }) => [body, receipts68To69(receipts)])
      .filter(({ length }) => length < 4_096),
  run: async (input) => {
    const values = attempt(() => RlpReader.list(input).restItems(), RlpError)
    if (values === undefined) return
    const root = orderedTrieRoot(values)
    if (values.length > MAX_VALUES) return
    const library = await createMPT({ useKeyHashingFunction: keccak256 })
    for (const [index, value] of values.entries()) await library.put(encodeUint(index), value)
    agreeBytes(root, library.root(), "the root that the library computes")
  },
}
