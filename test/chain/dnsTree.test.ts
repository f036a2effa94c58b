import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import {
  formatTreeUrl,
  isHashOf,
  isTreeInvalid,
  makeTree,
  parseEntry,
  parseTreeUrl,
  readRoot,
  subdomainOf,
  type TreeEntry,
  type TreeInvalid,
  type TreeRoot,
  type TreeUrl,
} from "../../src/chain/dnsTree.ts"
import { formatEnr, signEnr } from "../../src/chain/enr.ts"
import { knownNetworks } from "../../src/chain/networks.ts"

const good = <A extends TreeUrl | TreeRoot | TreeEntry>(result: A | TreeInvalid): A => {
  if (isTreeInvalid(result)) throw new Error(result.reason)
  return result
}

const reason = (result: TreeUrl | TreeRoot | TreeEntry | TreeInvalid): string =>
  isTreeInvalid(result) ? result.reason : "good"

/** The zone of EIP-1459's example; its key is not named there. */
const LINK = "enrtree://AM5FCQLWIZX2QFPNJAP7VUERCCRNGRHWZG3YYHIUV7BVDQ5FDPRT2@morenodes.example.org"
const BRANCH =
  "enrtree-branch:2XS2367YHAXJFGLZHVAWLQD4ZY,H4FHT4B454P6UXFD7JCYQ5PWDY,MHTDO6TMUBRIA2XWG5LUDACK24"
const NODE =
  "enr:-HW4QOFzoVLaFJnNhbgMoDXPnOvcdVuj7pDpqRvh6BRDO68aVi5ZcjB3vzQRZH2IcLBGHzo8uUN3snqmgTiE56CH3AMBgmlkgnY0iXNlY3AyNTZrMaECC2_24YYkYHEgdzxlSNKQEnHhuNAbNlMlWJxrJxbAFvA"

/** A root of mainnet's list, as it was published once; signed with the key that signs it still. */
const PUBLISHED_ROOT =
  "enrtree-root:v1 e=TPLRUM3FAKJZIRMXADWOHSU3PM l=FDXN3SN67NA5DKA4J2GOK7BVQI seq=2779 sig=CNoJofW_lNh7QFQkaVGhEX2ifbEZ3UkiBQCVyZCkM_I-72cEh8Bfd21cSS9BP5tyAqWF3jMVov8duUCdSByEQAE"
const mainnetUrl = good(parseTreeUrl(knownNetworks.get("mainnet")!.dnsTrees[0]!))

const KEY = new Uint8Array(32).fill(7)

describe("a list's URL", () => {
  it("reads and writes as in the networks' own", () => {
    for (const { dnsTrees } of knownNetworks.values()) {
      for (const text of dnsTrees) assert.strictEqual(formatTreeUrl(good(parseTreeUrl(text))), text)
    }
  })

  it("has a domain in lower case without the last dot", () => {
    const url = good(parseTreeUrl(LINK.replace("morenodes.example.org", "More.Example.ORG.")))
    assert.strictEqual(url.domain, "more.example.org")
  })

  it("is refused without scheme, key or domain", () => {
    const key = LINK.slice("enrtree://".length, LINK.indexOf("@"))
    assert.match(reason(parseTreeUrl(LINK.slice(3))), /does not begin/)
    assert.match(reason(parseTreeUrl(`enrtree://${key}`)), /missing/)
    for (const wrong of ["", key.slice(2), key.toLowerCase(), `${key}A`, `B${key.slice(1)}`]) {
      assert.match(reason(parseTreeUrl(`enrtree://${wrong}@a.b`)), /no secp256k1 key/)
    }
    for (const domain of ["", "a..b", "-a.b", "a b", "a/b", "a@b", `${"a.".repeat(120)}b`]) {
      assert.match(reason(parseTreeUrl(`enrtree://${key}@${domain}`)), /no domain/)
    }
  })
})

describe("a list's root", () => {
  it("is taken with the signature of mainnet's list", () => {
    assert.deepEqual(good(readRoot(PUBLISHED_ROOT, mainnetUrl.key)), {
      nodes: "TPLRUM3FAKJZIRMXADWOHSU3PM",
      links: "FDXN3SN67NA5DKA4J2GOK7BVQI",
      seq: 2779n,
    })
  })

  it("is refused when any of its parts is another, or the key is", () => {
    const { key } = good(parseTreeUrl(LINK))
    assert.match(reason(readRoot(PUBLISHED_ROOT, key)), /signature/)
    for (const [from, to] of [
      ["e=TPLR", "e=TPLS"],
      ["l=FDXN", "l=FDXM"],
      ["seq=2779", "seq=2780"],
      ["sig=CNo", "sig=CNp"],
    ] as const) {
      const changed = PUBLISHED_ROOT.replace(from, to)
      assert.match(reason(readRoot(changed, mainnetUrl.key)), /signature/)
    }
  })

  it("is refused when it is not well formed", () => {
    for (const changed of [
      "",
      PUBLISHED_ROOT.replace("v1", "v2"),
      PUBLISHED_ROOT.replace(" seq=2779", ""),
      PUBLISHED_ROOT.replace("2779", "-1"),
      PUBLISHED_ROOT.slice(0, -9),
      `${PUBLISHED_ROOT} `,
    ]) {
      assert.match(reason(readRoot(changed, mainnetUrl.key)), /it is no root/)
    }
    const short = PUBLISHED_ROOT.replace("FDXN3SN67NA5DKA4J2GOK7BVQI", "FDXN3SN6")
    assert.match(reason(readRoot(short, mainnetUrl.key)), /no hash/)
  })
})

describe("an entry of a list", () => {
  it("stands at its hash, as in EIP-1459's example", () => {
    assert.strictEqual(subdomainOf(LINK), "C7HRFPF3BLGF3YR4DY5KX3SMBE")
    assert.strictEqual(subdomainOf(BRANCH), "JWXYDBPXYWG6FX3GMDIBFA6CJ4")
    assert.strictEqual(subdomainOf(NODE), "2XS2367YHAXJFGLZHVAWLQD4ZY")
    // The tree of links of every list that has none.
    assert.strictEqual(subdomainOf("enrtree-branch:"), "FDXN3SN67NA5DKA4J2GOK7BVQI")
    assert.isTrue(isHashOf("C7HRFPF3BLGF3YR4DY5KX3SMBE", LINK))
    assert.isFalse(isHashOf("C7HRFPF3BLGF3YR4DY5KX3SMBE", `${LINK}x`))
  })

  it("is not taken below a hash that is too short to bind it", () => {
    const hash = subdomainOf(LINK)
    // Ten bytes.
    assert.isFalse(isHashOf(hash.slice(0, 16), LINK))
    assert.isFalse(isHashOf("", LINK))
    assert.isFalse(isHashOf(hash.toLowerCase(), LINK))
  })

  it("is a branch, a link or a node record", () => {
    assert.deepEqual(good(parseEntry(BRANCH)), {
      kind: "branch",
      children: [
        "2XS2367YHAXJFGLZHVAWLQD4ZY",
        "H4FHT4B454P6UXFD7JCYQ5PWDY",
        "MHTDO6TMUBRIA2XWG5LUDACK24",
      ],
    })
    assert.deepEqual(good(parseEntry("enrtree-branch:")), { kind: "branch", children: [] })
    assert.deepEqual(good(parseEntry(NODE)), { kind: "node", enr: NODE })
    assert.deepEqual(good(parseEntry(LINK)), { kind: "link", tree: good(parseTreeUrl(LINK)) })
  })

  it("is refused when it is nothing of that", () => {
    assert.match(reason(parseEntry("v=spf1 -all")), /neither/)
    assert.match(reason(parseEntry(`${BRANCH},`)), /no hash/)
    assert.match(reason(parseEntry(`${BRANCH},AAAA`)), /no hash/)
    assert.match(reason(parseEntry("enrtree://nobody")), /missing/)
    assert.match(reason(parseEntry(`enr:${"A".repeat(4_096)}`)), /more than 4096/)
  })

  it("never throws on arbitrary text", () => {
    const prefix = fc.constantFrom("", "enr:", "enrtree://", "enrtree-branch:", "enrtree-root:v1 ")
    fc.assert(
      fc.property(prefix, fc.string({ unit: "binary" }), (prefix, text) => {
        for (const result of [
          parseEntry(prefix + text),
          parseTreeUrl(prefix + text),
          readRoot(prefix + text, KEY),
        ]) {
          assert.isString(reason(result))
        }
        assert.isFalse(isHashOf(text, prefix))
      }),
    )
  })
})

describe("a list that is made", () => {
  const enrs = Array.from({ length: 200 }, (_, i) => formatEnr(signEnr({ seq: BigInt(i) }, KEY)))
  const others = [good(parseTreeUrl(LINK)), mainnetUrl]

  /** All leaves below a subdomain, each checked against its hash. */
  const leaves = (
    records: ReadonlyMap<string, string>,
    domain: string,
    subdomain: string,
  ): ReadonlyArray<TreeEntry> => {
    const text = records.get(`${subdomain}.${domain}`)!
    assert.isTrue(isHashOf(subdomain, text))
    // What fits one answer over UDP of the old size, with its question.
    assert.isBelow(text.length, 400)
    const entry = good(parseEntry(text))
    return entry.kind === "branch"
      ? entry.children.flatMap((child) => leaves(records, domain, child))
      : [entry]
  }

  it("holds what it was made of, from its root down, with hashes that fit", () => {
    for (const count of [0, 1, 13, 14, 170, 200]) {
      const content = { domain: "a.example", seq: 5n, enrs: enrs.slice(0, count), links: others }
      const { url, records } = makeTree(content, KEY)
      const root = good(readRoot(records.get("a.example")!, url.key))
      assert.strictEqual(root.seq, 5n)
      assert.deepEqual(
        leaves(records, "a.example", root.nodes).map((leaf) => leaf.kind === "node" && leaf.enr),
        content.enrs,
      )
      assert.deepEqual(
        leaves(records, "a.example", root.links).map((leaf) => leaf.kind === "link" && leaf.tree),
        others,
      )
    }
  })

  it("cannot be made without a private key", () => {
    const content = { domain: "a.example", seq: 1n, enrs: [], links: [] }
    assert.throws(() => makeTree(content, new Uint8Array(32)), RangeError)
  })
})
