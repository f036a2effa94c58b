import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { RpcError } from "../../../src/rpc/rpcError.ts"
import {
  batchText,
  errorText,
  notificationText,
  readEnvelope,
  resultText,
  type Incoming,
} from "../../../src/rpc/server/envelope.ts"

const call = (fields: object): string => JSON.stringify({ jsonrpc: "2.0", ...fields })

const only = (text: string): Incoming => {
  const envelope = readEnvelope(text, 10)
  if (envelope.kind === "batch") throw new Error("a batch")
  return envelope.call
}

const codeOf = (incoming: Incoming): number | undefined =>
  incoming.kind === "refused" ? incoming.error.code : undefined

const batch = (size: number): string =>
  `[${Array.from({ length: size }, (_, id) => call({ id, method: "m" })).join(",")}]`

describe("readEnvelope", () => {
  it("reads a call", () => {
    assert.deepEqual(only(call({ id: 7, method: "m", params: [1, "a"] })), {
      kind: "call",
      id: 7,
      method: "m",
      params: [1, "a"],
    })
  })

  it("takes absent parameters and null for none", () => {
    assert.deepInclude(only(call({ id: "x", method: "m" })), { kind: "call", params: [] })
    assert.deepInclude(only(call({ id: "x", method: "m", params: null })), { params: [] })
  })

  it("tells a notification from a call whose id is null", () => {
    assert.deepInclude(only(call({ method: "m" })), { kind: "call", id: undefined })
    assert.deepInclude(only(call({ method: "m", id: null })), { kind: "call", id: null })
  })

  it.each([
    ["", -32700],
    ["{", -32700],
    ["[", -32700],
    ["\u0000", -32700],
    ["[]", -32600],
    ["1", -32600],
    ["null", -32600],
    ['"eth_chainId"', -32600],
    [call({ id: 1 }), -32600],
    [call({ id: 1, method: 3 }), -32600],
    [call({ id: 1, method: "m", params: "0x1" }), -32600],
    [call({ id: 1, method: "m", params: { a: 1 } }), -32602],
    [call({ id: {}, method: "m" }), -32600],
    [call({ id: true, method: "m" }), -32600],
    [JSON.stringify({ id: 1, method: "m" }), -32600],
    [JSON.stringify({ jsonrpc: 2, id: 1, method: "m" }), -32600],
    ['{"jsonrpc":"2.0","id":9007199254740993,"method":"m"}', -32600],
    ['{"jsonrpc":"2.0","id":1e400,"method":"m"}', -32600],
    [`[${"1,".repeat(10)}1]`, -32600],
  ])("refuses %j with %d", (text, code) => {
    assert.strictEqual(codeOf(only(text)), code)
  })

  it("refuses a batch that is too large as one, and takes one of just the size", () => {
    assert.include(JSON.stringify(only(batch(11))), "refused")
    const fits = readEnvelope(batch(10), 10)
    assert.strictEqual(fits.kind === "batch" ? fits.calls.length : 0, 10)
  })

  it("keeps what is wrong in a batch to the calls that are wrong", () => {
    const envelope = readEnvelope(`[1, ${call({ id: 2, method: "m" })}, {"id": 3}]`, 10)
    if (envelope.kind !== "batch") throw new Error("no batch")
    assert.deepEqual(
      envelope.calls.map(({ kind, id }) => [kind, id]),
      [
        ["refused", null],
        ["call", 2],
        ["refused", 3],
      ],
    )
  })

  it("never throws, and gives every id back as it was", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), fc.json({ maxDepth: 8 })), (text) => {
        readEnvelope(text, 10)
      }),
      { numRuns: 1000 },
    )
    const id = fc.oneof(
      fc.string(),
      fc.maxSafeInteger(),
      fc.double({ min: -1e6, max: 1e6, noNaN: true }),
    )
    fc.assert(
      fc.property(id, fc.string(), fc.array(fc.jsonValue()), (id, method, params) => {
        const incoming = only(call({ id, method, params }))
        if (incoming.kind !== "call") throw new Error("refused")
        assert.strictEqual(incoming.method, method)
        const answer: unknown = JSON.parse(resultText(incoming.id ?? null, JSON.stringify(params)))
        assert.deepEqual(answer, JSON.parse(call({ id, result: params })))
      }),
    )
  })

  it("reads what is nested a hundred thousand deep", () => {
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`
    assert.isUndefined(
      codeOf(only(call({ id: 1, method: "m" }).replace("}", `,"params":${deep}}`))),
    )
  })
})

describe("answers", () => {
  it("are JSON-RPC 2.0", () => {
    assert.deepEqual(JSON.parse(resultText('ä"', "null")), {
      jsonrpc: "2.0",
      id: 'ä"',
      result: null,
    })
    assert.deepEqual(JSON.parse(errorText(1, new RpcError(-32000, "no"))), {
      jsonrpc: "2.0",
      id: 1,
      error: { code: -32000, message: "no" },
    })
    assert.deepInclude(JSON.parse(errorText(null, new RpcError(1, "no", { a: 1 }))), {
      error: { code: 1, message: "no", data: { a: 1 } },
    })
    assert.deepEqual(JSON.parse(notificationText("0x1", "[2]")), {
      jsonrpc: "2.0",
      method: "eth_subscription",
      params: { subscription: "0x1", result: [2] },
    })
  })

  it("of a batch leave out notifications, and are none where all are", () => {
    assert.strictEqual(batchText(["1", undefined, "2"]), "[1,2]")
    assert.isUndefined(batchText([undefined]))
  })
})
