/** Requests of all kinds about a chain: blocks that are there, some that are not, and nonsense. */
import { FastCheck as fc } from "effect"
import type { ServedChain } from "../../src/devnet/servedChain.ts"
import type { EthRequest } from "../../src/wire/ethMessages.ts"
import type { EthVersion } from "../../src/wire/hello.ts"

export const arbitraryVersion = fc.constantFrom<EthVersion>(68, 69, 70)

const unknownHash = fc.uint8Array({ minLength: 32, maxLength: 32 })

export const arbitraryRequest = (
  chain: ServedChain,
  version: EthVersion,
): fc.Arbitrary<EthRequest> => {
  const height = fc.integer({ min: chain.firstBlock, max: chain.lastBlock })
  const known = height.map((number) => chain.hashAt(number)!)
  const hash = fc.oneof({ weight: 9, arbitrary: known }, unknownHash)
  const number = fc.oneof(
    { weight: 9, arbitrary: height },
    fc.integer({ min: 0, max: 2 * chain.lastBlock }),
    fc.constant(Number.MAX_SAFE_INTEGER),
  )
  const requestId = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
  const hashes = fc.array(hash, { maxLength: 40 })
  return fc.oneof(
    fc.record({
      _tag: fc.constant("GetBlockHeaders" as const),
      requestId,
      start: fc.oneof(number, hash),
      limit: fc.oneof(fc.integer({ min: 0, max: 80 }), fc.constant(Number.MAX_SAFE_INTEGER)),
      skip: fc.oneof(fc.integer({ min: 0, max: 7 }), fc.constant(Number.MAX_SAFE_INTEGER)),
      reverse: fc.boolean(),
    }),
    fc.record({ _tag: fc.constant("GetBlockBodies" as const), requestId, hashes }),
    fc.record({
      _tag: fc.constant("GetReceipts" as const),
      requestId,
      hashes,
      firstBlockReceiptIndex: version < 70 ? fc.constant(0) : fc.integer({ min: 0, max: 5 }),
    }),
  )
}

export const arbitraryQuestion = (chain: ServedChain) =>
  arbitraryVersion.chain((version) =>
    arbitraryRequest(chain, version).map((request) => ({ version, request })),
  )
