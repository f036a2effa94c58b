import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import {
  median,
  peerJson,
  type PeerSurvey,
  type Served,
  type ServedByDepth,
  surveyDepths,
  surveyTable,
} from "../../src/peers/surveyTable.ts"

const byDepth = (...served: ReadonlyArray<Served>): ServedByDepth =>
  new Map(served.map((each, index) => [surveyDepths[index]!, each]))

const whole: PeerSurvey = {
  peerId: "ab".repeat(64),
  client: "Geth/v1.17.5-stable/linux-amd64/go1.25",
  ethVersion: 70,
  inbound: false,
  announced: { from: 15_537_394, to: 25_000_000 },
  head: 25_000_001,
  roundTripMs: 31.26,
  serves: {
    headers: byDepth("yes", "yes", "yes", "yes", "yes", "yes"),
    bodies: byDepth("yes", "yes", "yes", "yes", "yes", "no"),
    receipts: byDepth("yes", "yes", "no", "no", "no", "nothing"),
  },
}

const cutShort: PeerSurvey = {
  peerId: "cd".repeat(64),
  client: "reth",
  ethVersion: 68,
  inbound: true,
  announced: undefined,
  head: 900,
  roundTripMs: undefined,
  serves: { headers: byDepth("no"), bodies: byDepth(), receipts: byDepth() },
}

describe("surveyTable", () => {
  it("shows three lines a peer, columns below their names", () => {
    assert.deepStrictEqual(surveyTable([whole, cutShort]).split("\n"), [
      "peer              client                        eth  dialled  announced              head    ms  serves    0    1k   10k  100k  1M   5M",
      "abababababababab  Geth/v1.17.5-stable/linux-am  70   by us    15537394-25000000  25000001  31.3  headers   yes  yes  yes  yes   yes  yes",
      "                                                                                                 bodies    yes  yes  yes  yes   yes  no",
      "                                                                                                 receipts  yes  yes  no   no    no   —",
      "cdcdcdcdcdcdcdcd  reth                          68   us       —                       900     ?  headers   no   ?    ?    ?     ?    ?",
      "                                                                                                 bodies    ?    ?    ?    ?     ?    ?",
      "                                                                                                 receipts  ?    ?    ?    ?     ?    ?",
    ])
  })

  it("lets no name of a client break out of its column", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (client) => {
        const lines = surveyTable([{ ...cutShort, client }]).split("\n")
        assert.strictEqual(lines.length, 4)
        // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
        assert.notMatch(lines.join(""), /[\u0000-\u001f\u007f-\u009f]/)
        assert.isAtMost(Array.from(lines[1]!).length, Array.from(lines[0]!).length + 28)
      }),
    )
  })
})

describe("peerJson", () => {
  it("has the contract's keys, every depth among them", () => {
    assert.deepStrictEqual(peerJson(whole), {
      peer_id: "ab".repeat(64),
      client: "Geth/v1.17.5-stable/linux-amd64/go1.25",
      eth: 70,
      inbound: false,
      announced: { earliest: 15_537_394, latest: 25_000_000 },
      head: 25_000_001,
      round_trip_ms: 31.3,
      serves: {
        headers: {
          "0": true,
          "1000": true,
          "10000": true,
          "100000": true,
          "1000000": true,
          "5000000": true,
        },
        bodies: {
          "0": true,
          "1000": true,
          "10000": true,
          "100000": true,
          "1000000": true,
          "5000000": false,
        },
        receipts: {
          "0": true,
          "1000": true,
          "10000": false,
          "100000": false,
          "1000000": false,
          "5000000": null,
        },
      },
    })
  })

  it("says null to what is not known", () => {
    const { announced, round_trip_ms, serves } = peerJson(cutShort)
    assert.isNull(announced)
    assert.isNull(round_trip_ms)
    assert.strictEqual(serves.headers["0"], false)
    for (const depth of surveyDepths) assert.isNull(serves.receipts[depth])
  })
})

describe("median", () => {
  it.each([
    { values: [], expected: undefined },
    { values: [7], expected: 7 },
    { values: [100, 3, 20], expected: 20 },
    { values: [4, 100, 2, 3], expected: 3.5 },
  ])("of $values is $expected", ({ values, expected }) => {
    assert.strictEqual(median(values), expected)
  })

  it("has as many values above as below, in whatever order they came", () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), (values) => {
        const middle = median(values)!
        const half = values.length / 2
        assert.isAtMost(values.filter((value) => value < middle).length, half)
        assert.isAtMost(values.filter((value) => value > middle).length, half)
      }),
    )
  })
})
