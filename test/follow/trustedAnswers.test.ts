import { assert, describe, it } from "vitest"
import { FastCheck as fc } from "effect"
import {
  beaconCheckpoints,
  beaconExecutionBlock,
  beaconHeadRoot,
  rpcBlock,
  rpcChainId,
  rpcResult,
} from "../../src/follow/trustedAnswers.ts"

const HASH = "ab".repeat(32)

describe("what a trusted node says", () => {
  it("is a block by number and hash, from an execution client", () => {
    const block = { number: "0x1b4", hash: `0x${HASH.toUpperCase()}`, parentHash: "0x" }
    assert.deepStrictEqual(rpcBlock(rpcResult({ jsonrpc: "2.0", id: 1, result: block })), {
      number: 436,
      key: HASH,
    })
    assert.strictEqual(rpcChainId(rpcResult({ result: "0x539" })), 1337n)
  })

  it("is nothing where the client has an error, no such block, or a pending one", () => {
    assert.isUndefined(rpcBlock(rpcResult({ error: { code: -39_001, message: "unknown block" } })))
    assert.isUndefined(rpcBlock(rpcResult({ result: null })))
    assert.isUndefined(rpcBlock(rpcResult({ result: { number: "0x1", hash: null } })))
    assert.isUndefined(rpcBlock(rpcResult({ result: { number: "1", hash: `0x${HASH}` } })))
  })

  it("is the execution block of a beacon block, plain or blinded", () => {
    const payload = { block_number: "436", block_hash: `0x${HASH}` }
    for (const name of ["execution_payload", "execution_payload_header"]) {
      const answer = { version: "electra", data: { message: { body: { [name]: payload } } } }
      assert.deepStrictEqual(beaconExecutionBlock(answer), { number: 436, key: HASH })
    }
    assert.strictEqual(beaconHeadRoot({ data: { root: `0x${HASH}` } }), `0x${HASH}`)
  })

  it("is no block before the Merge, and no checkpoint before there is one", () => {
    const zero = `0x${"00".repeat(32)}`
    const body = { execution_payload: { block_number: "0", block_hash: zero } }
    assert.isUndefined(beaconExecutionBlock({ data: { message: { body } } }))
    assert.deepStrictEqual(
      beaconCheckpoints({
        data: { current_justified: { root: `0x${HASH}` }, finalized: { root: zero } },
      }),
      { justified: `0x${HASH}`, finalized: undefined },
    )
  })

  it("is never an exception, whatever the answer is", () => {
    fc.assert(
      fc.property(fc.anything(), (answer) => {
        const readers = [rpcResult, beaconHeadRoot, beaconCheckpoints, beaconExecutionBlock]
        for (const read of readers) assert.doesNotThrow(() => read(answer))
        assert.doesNotThrow(() => rpcBlock(rpcResult(answer)))
        assert.doesNotThrow(() => rpcChainId(answer))
      }),
      { numRuns: 1_000 },
    )
  })
})
