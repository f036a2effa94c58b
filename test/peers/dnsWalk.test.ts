import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import type { TreeEntry, TreeUrl } from "../../src/chain/dnsTree.ts"
import { DnsWalk, TreeCache, type WalkLimits, type WalkTask } from "../../src/peers/dnsWalk.ts"

const LISTS = 4
const TEXTS = 30

const list = (index: number): TreeUrl => ({
  key: new Uint8Array(64).fill(index),
  domain: `list${index}`,
})

/** Any web of texts, cycles included, which real hashes would not allow. */
const anyText: fc.Arbitrary<TreeEntry | undefined> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .array(fc.nat(TEXTS - 1), { maxLength: 6 })
      .map((children) => ({ kind: "branch" as const, children: children.map(String) })),
  },
  {
    weight: 2,
    arbitrary: fc.nat(LISTS - 1).map((index) => ({ kind: "link" as const, tree: list(index) })),
  },
  { weight: 2, arbitrary: fc.constant({ kind: "node" as const, enr: "enr:" }) },
  { weight: 1, arbitrary: fc.constant(undefined) },
)

const anyWeb = fc.record({
  texts: fc.array(anyText, { minLength: TEXTS, maxLength: TEXTS }),
  roots: fc.array(
    fc.record({ nodes: fc.nat(TEXTS - 1).map(String), links: fc.nat(TEXTS - 1).map(String) }),
    { minLength: LISTS, maxLength: LISTS },
  ),
})
type Web = typeof anyWeb extends fc.Arbitrary<infer A> ? A : never

const anyLimits: fc.Arbitrary<WalkLimits> = fc.record({
  maxEntries: fc.integer({ min: 1, max: 40 }),
  maxTrees: fc.integer({ min: 1, max: LISTS }),
  maxLinkDepth: fc.nat(3),
  maxFailuresInRow: fc.constant(1_000),
})
const NO_LIMITS: WalkLimits = {
  maxEntries: 1_000,
  maxTrees: 1_000,
  maxLinkDepth: 1_000,
  maxFailuresInRow: 1_000,
}

const nameOf = (task: WalkTask): string =>
  task.kind === "root"
    ? task.tree.domain
    : `${task.subtree}:${task.subdomain}.${task.root.tree.domain}`

/**
 * Walks the web, answering whichever of up to `width` open tasks the moves say, failing those that
 * `fails` says. Gives the tasks.
 */
const drive = (
  walk: DnsWalk,
  web: Web,
  moves: ReadonlyArray<number>,
  fails: (task: WalkTask) => boolean = () => false,
): ReadonlyArray<WalkTask> => {
  const width = 3
  const tasks: Array<WalkTask> = []
  const open: Array<WalkTask> = []
  for (let turn = 0; ; turn++) {
    while (open.length < width) {
      const task = walk.take()
      if (task === undefined) break
      tasks.push(task)
      open.push(task)
    }
    assert.strictEqual(walk.underWay, open.length)
    if (open.length === 0) return tasks
    const [task] = open.splice((moves[turn % moves.length] ?? 0) % open.length, 1)
    if (fails(task!)) walk.failed()
    else if (task!.kind === "entry") walk.foundEntry(task!, web.texts[Number(task!.subdomain)])
    else walk.foundRoot(task!, { ...web.roots[task!.tree.key[0]!]!, seq: 1n })
  }
}

const moves = fc.array(fc.nat(2), { minLength: 1, maxLength: 20 })

/** What a walk over the whole web must reach, worked out in the plainest way. */
const reachable = (web: Web): ReadonlySet<string> => {
  const reached = new Set<string>()
  const enterText = (subtree: "nodes" | "links", subdomain: string, of: number): void => {
    const name = `${subtree}:${subdomain}.list${of}`
    if (reached.has(name)) return
    reached.add(name)
    const text = web.texts[Number(subdomain)]
    if (text?.kind === "branch") for (const each of text.children) enterText(subtree, each, of)
    if (text?.kind === "link" && subtree === "links") enterList(text.tree.key[0]!)
  }
  const enterList = (index: number): void => {
    if (reached.has(`list${index}`)) return
    reached.add(`list${index}`)
    enterText("nodes", web.roots[index]!.nodes, index)
    enterText("links", web.roots[index]!.links, index)
  }
  enterList(0)
  return reached
}

const textOf = (name: string): string => name.split(/[:.]/)[1] ?? name

const runs = { numRuns: 300 }

const isBelowTop = (task: WalkTask): boolean => task.kind === "entry" && task.subdomain !== "0"

describe("a walk over DNS lists", () => {
  it("W1: asks for no text twice, and for none that the cache has", () => {
    fc.assert(
      fc.property(anyWeb, moves, (web, moves) => {
        const cache = new TreeCache()
        const first = drive(new DnsWalk([list(0)], cache, NO_LIMITS), web, moves).map(nameOf)
        assert.strictEqual(new Set(first).size, first.length)
        const again = drive(new DnsWalk([list(0)], cache, NO_LIMITS), web, moves)
        assert.isTrue(again.every((task) => task.kind === "root"))
      }),
      runs,
    )
  })

  it("W1: asks after failures for what failed and what is below it, until all is there", () => {
    fc.assert(
      fc.property(anyWeb, moves, fc.nat(4), (web, moves, kind) => {
        const cache = new TreeCache()
        const fails = (task: WalkTask) =>
          task.kind === "entry" && Number(task.subdomain) % 5 === kind
        const first = new DnsWalk([list(0)], cache, NO_LIMITS)
        const failed = drive(first, web, moves, fails).filter(fails)
        assert.strictEqual(first.failures, failed.length)
        first.finish()
        drive(new DnsWalk([list(0)], cache, NO_LIMITS), web, moves)
        const texts = [...reachable(web)].filter((name) => name.includes("."))
        const known = new Set(texts.map((name) => name.split(/[:.]/)[1]!))
        assert.deepEqual([...cache.entries.keys()].sort(), [...known].sort())
      }),
      runs,
    )
  })

  it("W2: stays within its limits", () => {
    fc.assert(
      fc.property(anyWeb, moves, anyLimits, (web, moves, limits) => {
        const walk = new DnsWalk([list(0)], new TreeCache(), limits)
        const tasks = drive(walk, web, moves)
        const roots = tasks.filter((task) => task.kind === "root")
        assert.isAtMost(tasks.length - roots.length, limits.maxEntries)
        assert.isAtMost(roots.length, limits.maxTrees)
        for (const { depth } of roots) assert.isAtMost(depth, limits.maxLinkDepth)
      }),
      runs,
    )
  })

  it("W2, W3: reaches everything that it may, links by trees of links only", () => {
    fc.assert(
      fc.property(anyWeb, moves, (web, moves) => {
        const walk = new DnsWalk([list(0)], new TreeCache(), NO_LIMITS)
        const named = new Set<string>()
        // Texts that the cache got from another list are reached without being asked for.
        for (const task of drive(walk, web, moves)) named.add(nameOf(task))
        const must = reachable(web)
        assert.deepEqual(
          [...new Set([...named].map(textOf))].sort(),
          [...new Set([...must].map(textOf))].sort(),
        )
        for (const name of named) assert.isTrue(must.has(name), name)
        assert.isFalse(walk.truncated)
      }),
      runs,
    )
  })

  it("W4: keeps, after a walk without failures, only what it reached", () => {
    fc.assert(
      fc.property(anyWeb, anyWeb, moves, anyLimits, (before, after, moves, limits) => {
        const cache = new TreeCache()
        drive(new DnsWalk([list(0)], cache, limits), before, moves)
        assert.isAtMost(cache.entries.size, 2 * limits.maxEntries)
        cache.entries.set("gone", { kind: "seen" })
        cache.roots.set("gone", { nodes: "0", links: "0", seq: 1n })
        const failing = new DnsWalk([list(1)], cache, limits)
        drive(failing, after, moves, () => true)
        failing.finish()
        assert.isTrue(cache.entries.has("gone") && cache.roots.has("gone"))
        const walk = new DnsWalk([list(1)], cache, limits)
        const asked = drive(walk, after, moves)
        walk.finish()
        assert.isFalse(cache.entries.has("gone"))
        assert.isAtMost(cache.entries.size, limits.maxEntries)
        const urls = asked.flatMap((task) => (task.kind === "root" ? [task.url] : []))
        assert.deepEqual([...cache.roots.keys()].sort(), urls.sort())
      }),
      runs,
    )
  })

  it("ends when so many in a row fail that the resolver must be away", () => {
    const children = Array.from({ length: TEXTS }, (_, i) => String(i))
    const web: Web = {
      texts: [{ kind: "branch", children }],
      roots: [{ nodes: "0", links: "0" }],
    }
    const walk = new DnsWalk([list(0)], new TreeCache(), { ...NO_LIMITS, maxFailuresInRow: 5 })
    drive(walk, web, [0], isBelowTop)
    // Three are open at once.
    assert.isAtLeast(walk.failures, 5)
    assert.isAtMost(walk.failures, 7)
  })
})
