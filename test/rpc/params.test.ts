import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { toHex0x } from "../../src/domain/hex.ts"
import {
  blockTags,
  parameters,
  parseBlockName,
  parseBlockRef,
  parseFlag,
  parseHash,
  parseLogQuery,
  parseQuantity,
} from "../../src/rpc/params.ts"
import { RpcError } from "../../src/rpc/rpcError.ts"

/** The words of the refusal; every refusal is -32602 and one line. */
const refusal = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    assert.instanceOf(error, RpcError)
    assert.strictEqual(error.code, -32_602)
    assert.notInclude(error.message, "\n")
    return error.message
  }
  return assert.fail("nothing was refused")
}

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
/** A condition of a filter as clients write it: nothing, one value, or alternatives. */
type Condition = Uint8Array | ReadonlyArray<Uint8Array> | null

const one = (item: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Condition> =>
  fc.oneof(fc.constant(null), item, fc.array(item, { maxLength: 3 }))

const text = (value: Condition) => {
  if (value === null) return null
  return value instanceof Uint8Array ? toHex0x(value) : value.map(toHex0x)
}

const list = (value: Condition): ReadonlyArray<Uint8Array> => {
  if (value === null) return []
  return value instanceof Uint8Array ? [value] : value
}

const HASH = `0x${"ab".repeat(32)}`
const ADDRESS = `0x${"cd".repeat(20)}`

describe("parameters", () => {
  it("takes an array with what is required and no more than is known", () => {
    assert.deepEqual(parameters(["0x1", true], 1, 2), ["0x1", true])
    assert.deepEqual(parameters(undefined, 0), [])
    assert.deepEqual(parameters(null, 0), [])
    assert.strictEqual(
      refusal(() => parameters({ a: 1 }, 1)),
      "params have to be an array",
    )
    assert.strictEqual(
      refusal(() => parameters([1, 2], 1)),
      "too many arguments, want at most 1",
    )
    const missing = "missing value for required argument 1"
    assert.strictEqual(
      refusal(() => parameters(["0x1"], 2)),
      missing,
    )
    assert.strictEqual(
      refusal(() => parameters(["0x1", null], 2)),
      missing,
    )
  })
})

describe("parseQuantity", () => {
  it("reads every quantity up to 2^53 - 1, and takes what is above for that", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => {
        const most = BigInt(Number.MAX_SAFE_INTEGER)
        const expected = Number(value < most ? value : most)
        assert.strictEqual(parseQuantity(`0x${value.toString(16)}`, 0), expected)
      }),
    )
    assert.strictEqual(parseQuantity("0xAb", 0), 171)
  })

  it.each([
    ["1", "invalid argument 2: hex string without 0x prefix"],
    ["", "invalid argument 2: hex string without 0x prefix"],
    ["0x", 'invalid argument 2: hex string "0x" has no digits'],
    ["0x01", "invalid argument 2: hex number with leading zero digits"],
    ["0xg", "invalid argument 2: invalid hex string"],
    ["0x1\n", "invalid argument 2: invalid hex string"],
    ["0x10000000000000000", "invalid argument 2: hex number > 64 bits"],
    [1, "invalid argument 2: a number has to be a hexadecimal string with 0x prefix"],
    [null, "invalid argument 2: a number has to be a hexadecimal string with 0x prefix"],
  ])("refuses %j", (value, words) => {
    assert.strictEqual(
      refusal(() => parseQuantity(value, 2)),
      words,
    )
  })
})

describe("parseHash", () => {
  it("reads 32 bytes in any case", () => {
    fc.assert(
      fc.property(bytes(32), fc.boolean(), (hash, upper) => {
        const text = toHex0x(hash)
        const written = upper ? `0x${text.slice(2).toUpperCase()}` : text
        assert.deepEqual(parseHash(written, 0), hash)
      }),
    )
  })

  it("refuses what is no hash, in the specification's words where it has some", () => {
    const prefix =
      "invalid argument 0: json: cannot unmarshal hex string without 0x prefix into Go value of type common.Hash"
    assert.strictEqual(
      refusal(() => parseHash("ab".repeat(32), 0)),
      prefix,
    )
    assert.strictEqual(
      refusal(() => parseHash("0xab", 0)),
      "invalid argument 0: hex string has length 2, want 64 for a hash",
    )
    const digits = `0x${"zz".repeat(32)}`
    assert.strictEqual(
      refusal(() => parseHash(digits, 0)),
      "invalid argument 0: invalid hex string for a hash",
    )
    for (const value of [1, true, [], {}]) refusal(() => parseHash(value, 0))
  })
})

describe("parseFlag", () => {
  it("takes true and false, not what stands for them elsewhere", () => {
    assert.isTrue(parseFlag(true, 1))
    assert.isFalse(parseFlag(false, 1))
    for (const value of ["true", 1, 0, "", []]) refusal(() => parseFlag(value, 1))
  })
})

describe("parseBlockName", () => {
  it("reads tags and numbers", () => {
    for (const tag of blockTags) assert.strictEqual(parseBlockName(tag, 0), tag)
    assert.strictEqual(parseBlockName("0x1b4", 0), 436)
  })

  it("refuses other words, hashes and plain numbers", () => {
    for (const value of ["Latest", "newest", "2", 2, {}, ""]) {
      refusal(() => parseBlockName(value, 0))
    }
    assert.strictEqual(
      refusal(() => parseBlockName(HASH, 0)),
      "invalid argument 0: a block number or tag is wanted, not a hash",
    )
    assert.strictEqual(
      refusal(() => parseBlockName("2", 0)),
      "invalid argument 0: hex string without 0x prefix",
    )
  })
})

describe("parseBlockRef", () => {
  const hash = parseHash(HASH, 0)

  it("reads numbers, tags, hashes, and the objects of EIP-1898", () => {
    assert.deepEqual(parseBlockRef("0x2", 0), { name: 2 })
    assert.deepEqual(parseBlockRef("safe", 0), { name: "safe" })
    assert.deepEqual(parseBlockRef(HASH, 0), { hash })
    assert.deepEqual(parseBlockRef({ blockNumber: "0x2" }, 0), { name: 2 })
    assert.deepEqual(parseBlockRef({ blockNumber: "latest" }, 0), { name: "latest" })
    assert.deepEqual(parseBlockRef({ blockHash: HASH, requireCanonical: true }, 0), { hash })
  })

  it("refuses objects with both, neither, or a flag that is none", () => {
    const either = "invalid argument 0: either blockHash or blockNumber is wanted"
    assert.strictEqual(
      refusal(() => parseBlockRef({}, 0)),
      either,
    )
    const both = { blockHash: HASH, blockNumber: "0x1" }
    assert.strictEqual(
      refusal(() => parseBlockRef(both, 0)),
      either,
    )
    refusal(() => parseBlockRef({ blockHash: HASH, requireCanonical: "yes" }, 0))
    refusal(() => parseBlockRef([HASH], 0))
  })
})

describe("parseLogQuery", () => {
  it("asks for everything in the newest block where nothing is said", () => {
    const blocks = { from: "latest", to: "latest" } as const
    const filter = { addresses: [], topics: [] }
    assert.deepEqual(parseLogQuery({}), { filter, blocks })
    const nulls = { fromBlock: null, toBlock: null, blockHash: null, address: null, topics: null }
    assert.deepEqual(parseLogQuery(nulls), { filter, blocks })
  })

  it("reads any filter of the specification's form", () => {
    const address = bytes(20)
    const topic = bytes(32)
    fc.assert(
      fc.property(one(address), fc.array(one(topic), { maxLength: 4 }), (address, topics) => {
        const query = parseLogQuery({
          address: text(address),
          topics: topics.map(text),
          fromBlock: "0x1",
          toBlock: "finalized",
        })
        assert.deepEqual(query.blocks, { from: 1, to: "finalized" })
        assert.deepEqual(query.filter, { addresses: list(address), topics: topics.map(list) })
      }),
    )
  })

  it("takes null among the alternatives for anything", () => {
    const { filter } = parseLogQuery({ topics: [[HASH, null], HASH] })
    assert.deepEqual(filter.topics, [[], [parseHash(HASH, 0)]])
  })

  it("keeps a position that may be anything, since a log has to have it", () => {
    assert.lengthOf(parseLogQuery({ topics: [null, [], null] }).filter.topics, 3)
  })

  it("takes a block's hash instead of a range, never with one", () => {
    const { blocks } = parseLogQuery({ blockHash: HASH })
    assert.deepEqual(blocks, { hash: parseHash(HASH, 0) })
    const words =
      "invalid argument 0: cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other"
    for (const end of [{ fromBlock: "0x1" }, { toBlock: "latest" }]) {
      assert.strictEqual(
        refusal(() => parseLogQuery({ blockHash: HASH, ...end })),
        words,
      )
    }
  })

  it.each<[unknown]>([
    ["0x1"],
    [null],
    [[]],
    [{ address: "0x1" }],
    [{ address: HASH }],
    [{ address: [ADDRESS, null] }],
    [{ address: {} }],
    [{ topics: HASH }],
    [{ topics: [ADDRESS] }],
    [{ topics: [[[HASH]]] }],
    [{ topics: [1] }],
    [{ topics: [HASH, HASH, HASH, HASH, HASH] }],
    [{ topics: [Array.from({ length: 1_001 }, () => HASH)] }],
    [{ address: Array.from({ length: 1_001 }, () => ADDRESS) }],
    [{ fromBlock: 1 }],
    [{ toBlock: "0x" }],
    [{ fromBlock: HASH }],
    [{ blockHash: "0x1" }],
  ])("refuses %j", (value) => {
    assert.match(
      refusal(() => parseLogQuery(value)),
      /^invalid argument 0: /,
    )
  })

  it("refuses or reads whatever JSON a client sends, and throws nothing else", () => {
    const filter = fc.dictionary(
      fc.constantFrom("fromBlock", "toBlock", "blockHash", "address", "topics"),
      fc.jsonValue(),
    )
    fc.assert(
      fc.property(fc.oneof(filter, fc.jsonValue()), (value) => {
        try {
          const { filter } = parseLogQuery(value)
          assert.isAtMost(filter.topics.length, 4)
        } catch (error) {
          assert.instanceOf(error, RpcError)
        }
      }),
    )
  })
})
