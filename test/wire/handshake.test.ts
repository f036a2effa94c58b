import crypto from "node:crypto"
import { ECIES } from "@ethereumjs/devp2p"
import { RLP } from "@ethereumjs/rlp"
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { FrameReader, FrameWriter } from "../../src/wire/frames.ts"
import {
  HandshakeError,
  type HandshakeResult,
  initiate,
  nodeIdOf,
  respond,
} from "../../src/wire/handshake.ts"
import { makeKey } from "./support.ts"

/** The library's own session, with what it keeps to itself made visible. */
class Stock extends ECIES {
  acceptAuth(message: Uint8Array): Uint8Array {
    this._gotEIP8Auth = true
    this.parseAuthEIP8(message)
    return this.createAckEIP8()!
  }
  acceptAck(message: Uint8Array): void {
    this._gotEIP8Ack = true
    this.parseAckEIP8(message)
  }
  frame(body: Uint8Array): Uint8Array {
    return Buffer.concat([this.createBlockHeader(body.length)!, this.createBody(body)!])
  }
  /** An auth message with any content, encrypted as it should be. */
  authOf(content: Uint8Array): Uint8Array {
    const size = Buffer.alloc(2)
    size.writeUInt16BE(content.length + 113)
    return Buffer.concat([size, this._encryptMessage(content, size)!])
  }
  unframe(frame: Uint8Array): Uint8Array {
    this.parseHeader(frame.subarray(0, 32))
    return this.parseBody(frame.subarray(32))!
  }
}

/** The library takes null for a peer that is not known yet, which its types do not say. */
class StockRecipient extends Stock {
  constructor(privateKey: Uint8Array, id: Uint8Array) {
    super(privateKey, id, id)
    this._remotePublicKey = null
  }
}

const finish = (result: HandshakeResult | undefined): HandshakeResult => {
  if (result === undefined) throw new Error("the handshake is not through")
  return result
}

/** Frames go through in both directions. */
const assertTalks = (result: HandshakeResult, stock: Stock) => {
  const body = crypto.randomBytes(77)
  const writer = new FrameWriter(result.secrets)
  assert.isTrue(body.equals(stock.unframe(writer.frame(body))))
  assert.isTrue(body.equals(stock.unframe(writer.frame(body))))
  const got: Array<Uint8Array> = []
  const reader = new FrameReader(result.secrets, {
    header: () => {},
    frame: (each) => got.push(each.slice()),
  })
  reader.push(stock.frame(body))
  reader.push(stock.frame(body))
  assert.lengthOf(got, 2)
  assert.isTrue(body.equals(got[1]!))
}

describe("nodeIdOf", () => {
  it("is the public key without its prefix", () => {
    const one = Buffer.alloc(32)
    one[31] = 1
    const generator = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    assert.strictEqual(Buffer.from(nodeIdOf(one)).toString("hex").slice(0, 64), generator)
  })
})

describe("the handshake", () => {
  it("as initiator agrees with the library", async () => {
    const [us, them] = [makeKey(), makeKey()]
    const ours = await initiate(us.privateKey, us.nodeId, them.nodeId)
    const stock = new StockRecipient(them.privateKey, them.nodeId)
    const ack = stock.acceptAuth(ours.first!)
    const result = finish(ours.push(ack))
    assert.deepStrictEqual(Buffer.from(result.remoteId), Buffer.from(them.nodeId))
    assertTalks(result, stock)
  })

  it("as recipient agrees with the library, and learns who dials", async () => {
    const [us, them] = [makeKey(), makeKey()]
    const stock = new Stock(them.privateKey, them.nodeId, us.nodeId)
    const ours = await respond(us.privateKey, us.nodeId)
    const result = finish(ours.push(stock.createAuthEIP8()!))
    assert.deepStrictEqual(Buffer.from(result.remoteId), Buffer.from(them.nodeId))
    stock.acceptAck(result.reply!)
    assertTalks(result, stock)
  })

  it("as recipient takes the form of before EIP-8 too", async () => {
    const [us, them] = [makeKey(), makeKey()]
    let stock = new Stock(them.privateKey, them.nodeId, us.nodeId)
    // The library forgets to pad r and s, so that one message in 128 is too short.
    while (stock.createAuthNonEIP8()!.length !== 307) {
      stock = new Stock(them.privateKey, them.nodeId, us.nodeId)
    }
    const auth = stock.createAuthNonEIP8()!
    const ours = await respond(us.privateKey, us.nodeId)
    assert.isUndefined(ours.push(auth.subarray(0, 100)))
    const result = finish(ours.push(Buffer.concat([auth.subarray(100), Buffer.from("rest")])))
    stock.parseAckPlain(result.reply!)
    assert.strictEqual(Buffer.from(result.rest).toString(), "rest")
    assertTalks(result, stock)
  })

  it("does not mind where messages are cut, and keeps what follows them", async () => {
    const [us, them] = [makeKey(), makeKey()]
    const dialing = await initiate(us.privateKey, us.nodeId, them.nodeId)
    const answering = await respond(them.privateKey, them.nodeId)
    let answered: HandshakeResult | undefined
    for (const byte of dialing.first!) answered ??= answering.push(Uint8Array.of(byte))
    const { reply, secrets } = finish(answered)
    assert.lengthOf(finish(answered).rest, 0)
    const frame = new FrameWriter(secrets).frame(Buffer.from("hello"))
    const result = finish(dialing.push(Buffer.concat([reply!, frame.subarray(0, 20)])))
    const got: Array<string> = []
    const reader = new FrameReader(result.secrets, {
      header: () => {},
      frame: (body) => got.push(Buffer.from(body).toString()),
    })
    reader.push(result.rest)
    reader.push(frame.subarray(20))
    assert.deepStrictEqual(got, ["hello"])
  })

  it("refuses a message above 2 KiB as soon as its size is there", async () => {
    const [us, them] = [makeKey(), makeKey()]
    const answering = await respond(us.privateKey, us.nodeId)
    assert.throws(() => answering.push(Uint8Array.of(0x08, 0x00)), HandshakeError)
    const dialing = await initiate(us.privateKey, us.nodeId, them.nodeId)
    assert.throws(() => dialing.push(Uint8Array.of(0xff, 0xff)), HandshakeError)
  })

  it("refuses a node id that is no point of the curve", async () => {
    const us = makeKey()
    const bad = new Uint8Array(64).fill(1)
    const outcome = await initiate(us.privateKey, us.nodeId, bad).catch((error: unknown) => error)
    assert.instanceOf(outcome, HandshakeError)
  })

  it("refuses an auth for somebody else, and an altered one", async () => {
    const [us, them, other] = [makeKey(), makeKey(), makeKey()]
    const dialing = await initiate(us.privateKey, us.nodeId, them.nodeId)
    const stranger = await respond(other.privateKey, other.nodeId)
    assert.throws(() => stranger.push(dialing.first!), HandshakeError)
    const altered = Uint8Array.from(dialing.first!)
    altered[200]! ^= 1
    const right = await respond(them.privateKey, them.nodeId)
    assert.throws(() => right.push(altered), HandshakeError)
  })

  it("fails with nothing but HandshakeError on arbitrary bytes", async () => {
    const us = makeKey()
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 600 }), fc.nat(600), async (noise, size) => {
        const handshakes = [
          await respond(us.privateKey, us.nodeId),
          await initiate(us.privateKey, us.nodeId, us.nodeId),
        ]
        for (const handshake of handshakes) {
          const sized = Buffer.concat([Uint8Array.of(size >> 8, size & 0xff), noise])
          for (const message of [noise, sized]) {
            try {
              handshake.push(message)
            } catch (error) {
              assert.instanceOf(error, HandshakeError)
            }
          }
        }
      }),
      { numRuns: 30 },
    )
  })

  it("fails with nothing but HandshakeError on arbitrary content in a proper envelope", async () => {
    const [us, them] = [makeKey(), makeKey()]
    const stock = new Stock(them.privateKey, them.nodeId, us.nodeId)
    const field = fc.oneof(fc.uint8Array({ maxLength: 70 }), fc.constant(them.nodeId))
    const list = fc.array(field, { maxLength: 5 }).map((fields) => RLP.encode(fields))
    const content = fc.oneof(fc.uint8Array({ maxLength: 300 }), list)
    await fc.assert(
      fc.asyncProperty(content, async (bytes) => {
        const ours = await respond(us.privateKey, us.nodeId)
        assert.throws(() => ours.push(stock.authOf(bytes)), HandshakeError)
      }),
      { numRuns: 40 },
    )
  })
})
