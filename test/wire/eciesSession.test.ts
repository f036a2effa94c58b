import { assert, describe, it, vi } from "vitest"
import { toHex } from "../../src/domain/hex.ts"
import { loadEciesSession } from "../../src/wire/eciesSession.ts"
import { initiate, nodeIdOf, respond } from "../../src/wire/handshake.ts"
import * as eip8 from "./eip8Vectors.ts"
import { makeKey } from "./support.ts"

const idA = nodeIdOf(eip8.staticKeyA)
const idB = nodeIdOf(eip8.staticKeyB)

/** Node A of EIP-8, with the keys that it is known to have had. */
const makeNodeA = async () => {
  const Session = await loadEciesSession()
  class NodeA extends Session {
    constructor() {
      super(eip8.staticKeyA, idA, idB)
      this._ephemeralPrivateKey = eip8.ephemeralKeyA
      this._nonce = eip8.nonceA
      this._initMsg = eip8.auth2
    }
  }
  return new NodeA()
}

describe("the key agreement", () => {
  for (const [name, auth] of [
    ["of before EIP-8", eip8.auth1],
    ["of version 4", eip8.auth2],
    ["of version 56 with more fields", eip8.auth3],
  ] as const) {
    it(`takes EIP-8's auth ${name} and knows who sent it`, async () => {
      const handshake = await respond(eip8.staticKeyB, idB)
      const result = handshake.push(auth)
      assert.strictEqual(toHex(result!.remoteId), toHex(idA))
      assert.isAbove(result!.reply!.length, 200)
    })
  }

  it("comes to the secrets that EIP-8 gives", async () => {
    const nodeA = await makeNodeA()
    nodeA.readAck(eip8.ack2)
    assert.strictEqual(toHex(nodeA.secrets!.aesSecret), toHex(eip8.aesSecret))
    assert.strictEqual(toHex(nodeA.secrets!.macSecret), toHex(eip8.macSecret))
  })

  it("takes an ack of version 57 with more fields", async () => {
    const nodeA = await makeNodeA()
    nodeA.readAck(eip8.ack3)
    assert.isDefined(nodeA.secrets)
  })

  it("is the same with and without the native library", async () => {
    vi.resetModules()
    vi.doMock("../../src/domain/secp256k1Native.ts", () => ({ loadNativeCurve: () => undefined }))
    const { isNative } = await import("../../src/domain/secp256k1.ts")
    const without = await import("../../src/wire/handshake.ts")
    vi.doUnmock("../../src/domain/secp256k1Native.ts")
    assert.isFalse(isNative)

    const [us, them] = [makeKey(), makeKey()]
    assert.deepEqual(without.nodeIdOf(us.privateKey), us.nodeId)
    for (const [dialling, answering] of [
      [{ initiate }, without],
      [without, { respond }],
    ] as const) {
      const ours = await dialling.initiate(us.privateKey, us.nodeId, them.nodeId)
      const theirs = await answering.respond(them.privateKey, them.nodeId)
      const answered = theirs.push(ours.first!)!
      const { secrets } = ours.push(answered.reply!)!
      assert.strictEqual(toHex(answered.remoteId), toHex(us.nodeId))
      assert.strictEqual(toHex(answered.secrets.aesSecret), toHex(secrets.aesSecret))
      assert.strictEqual(toHex(answered.secrets.ingressMacSeed), toHex(secrets.egressMacSeed))
      assert.strictEqual(toHex(answered.secrets.egressMacSeed), toHex(secrets.ingressMacSeed))
    }
  })

  it("pads auths by 100 to 250 bytes that differ, as EIP-8 wants", async () => {
    const [us, them] = [makeKey(), makeKey()]
    const lengths = new Set<number>()
    for (let i = 0; i < 20; i++) {
      const { first } = await initiate(us.privateKey, us.nodeId, them.nodeId)
      assert.strictEqual(Buffer.from(first!).readUInt16BE(0), first!.length - 2)
      // Two bytes of size, 113 of encryption, 169 of fields.
      const padding = first!.length - 284
      assert.isAtLeast(padding, 100)
      assert.isBelow(padding, 250)
      lengths.add(padding)
    }
    assert.isAbove(lengths.size, 1)
  })
})
