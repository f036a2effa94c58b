/** What the flags of a sync that follows come to, and what does not go with it. */
import { assert, describe, it } from "vitest"
import { ingest, ingestRefusal } from "./givenSync.ts"

const nodeId = "ab".repeat(64)

describe("followOptions", () => {
  const enode = `enode://${nodeId}@127.0.0.1:30303`

  it("follows only where it is asked to", () => {
    assert.isUndefined(ingest({}).follow)
    assert.deepStrictEqual(ingest({ follow: true }).follow, {
      everyMs: 2_000,
      trustedPeers: [],
      trustedHead: undefined,
    })
  })

  it("dials trusted peers as well as named ones, each once", () => {
    const options = ingest({ follow: true, peer: [enode], "trusted-peer": [enode] })
    assert.lengthOf(options.peers, 1)
    assert.deepStrictEqual(options.follow?.trustedPeers, [nodeId])
  })

  it("refuses what has an end, what cannot be held, and what is for following alone", () => {
    assert.include(ingestRefusal({ follow: true, "end-block": 5 }), "--end-block")
    assert.include(ingestRefusal({ follow: true, benchmark: "profile" }), "--benchmark")
    assert.include(ingestRefusal({ follow: true, "rollback-window": 1_025 }), "1024")
    assert.include(ingestRefusal({ "trusted-peer": [enode] }), "--follow")
    assert.include(ingestRefusal({ "trusted-head": "http://127.0.0.1" }), "--follow")
    assert.include(ingestRefusal({ "follow-every-ms": 100 }), "--follow")
  })

  it("takes a plain URL of a trusted head, and nothing else", () => {
    const url = "http://127.0.0.1:8545"
    assert.strictEqual(ingest({ follow: true, "trusted-head": url }).follow?.trustedHead, url)
    for (const text of ["file:///etc/passwd", "127.0.0.1:8545", "http://a:b@127.0.0.1"]) {
      assert.include(ingestRefusal({ follow: true, "trusted-head": text }), "--trusted-head takes")
    }
  })
})
