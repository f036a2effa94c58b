/**
 * One walk over DNS lists (EIP-1459), from their roots down to what is not known yet: which texts to
 * ask for next. Pure but for its own state; `DnsSource.ts` does the lookups and tells it what came.
 *
 *     root ─▶ tree of nodes ─▶ branch ─▶ … ─▶ node record
 *       └───▶ tree of links ─▶ branch ─▶ … ─▶ another list's root
 *
 * In: the lists' URLs, a {@link TreeCache}, roots and entries that were checked against signature
 * and hash. Out: {@link WalkTask}s, and the cache with what was learned.
 *
 * Invariants:
 * - W1 no text is asked for twice in a walk, and none that the cache has;
 * - W2 a walk reaches at most `maxEntries` entries and `maxTrees` lists, at most `maxLinkDepth`
 *   links away from those that it began with; another list is begun when no entry waits;
 * - W3 a node record in a tree of links, or a link in a tree of nodes, is passed over;
 * - W4 the cache never has more than twice `maxEntries` entries, and after a walk without failures
 *   only what that walk reached.
 */
import { formatTreeUrl, type TreeEntry, type TreeRoot, type TreeUrl } from "../chain/dnsTree.ts"

/** How far a walk goes. */
export interface WalkLimits {
  readonly maxEntries: number
  readonly maxTrees: number
  readonly maxLinkDepth: number
  /** So many failures one after the other end the walk: the resolver is not there. */
  readonly maxFailuresInRow: number
}

/** Which of a list's two trees. */
export type Subtree = "nodes" | "links"

/** A list whose root is to be looked up, at its domain. */
export interface RootTask {
  readonly kind: "root"
  readonly tree: TreeUrl
  /** The list's name: `tree` as text. */
  readonly url: string
  /** How many links lead here from a list that the user or the network named. */
  readonly depth: number
}

/** An entry that is to be looked up, at `subdomain` of its list's domain. */
export interface EntryTask {
  readonly kind: "entry"
  readonly subdomain: string
  readonly subtree: Subtree
  /** Whose list it is. */
  readonly root: RootTask
}

/** What to ask next. */
export type WalkTask = RootTask | EntryTask

/** An entry as it is remembered: of a node record, only that it was seen. */
type KnownEntry = Exclude<TreeEntry, { kind: "node" }> | { readonly kind: "seen" }

/** What earlier walks learned. Entries are named by their hashes, so that they never change. */
export class TreeCache {
  readonly entries = new Map<string, KnownEntry>()
  /** By the list's URL. */
  readonly roots = new Map<string, TreeRoot>()
}

/** See the module. */
export class DnsWalk {
  readonly #cache: TreeCache
  readonly #limits: WalkLimits
  /** Last in, first out, so that node records come early and little is remembered on the way. */
  readonly #stack: Array<WalkTask> = []
  readonly #linked: Array<RootTask> = []
  readonly #trees = new Set<string>()
  /** By list, tree and subdomain: a list cannot hide an entry of another by naming it first. */
  readonly #reached = new Set<string>()
  readonly #reachedEntries = new Set<string>()
  #underWay = 0
  #failures = 0
  #failuresInRow = 0
  #truncated = false

  constructor(trees: ReadonlyArray<TreeUrl>, cache: TreeCache, limits: WalkLimits) {
    this.#cache = cache
    this.#limits = limits
    for (const tree of trees) this.#reachTree(tree, 0)
  }

  /** Tasks that were taken and not answered. */
  get underWay(): number {
    return this.#underWay
  }

  /** Tasks that failed. */
  get failures(): number {
    return this.#failures
  }

  /** Whether something was left out because of the limits. */
  get truncated(): boolean {
    return this.#truncated
  }

  /**
   * The next thing to ask; undefined when there is none now. Each task must be answered by
   * {@link DnsWalk.foundRoot}, {@link DnsWalk.foundEntry} or {@link DnsWalk.failed}.
   */
  take(): WalkTask | undefined {
    if (this.#failuresInRow >= this.#limits.maxFailuresInRow) return undefined
    for (;;) {
      const task = this.#stack.pop() ?? this.#linked.shift()
      if (task === undefined) return undefined
      const known = task.kind === "entry" ? this.#cache.entries.get(task.subdomain) : undefined
      if (task.kind === "root" || known === undefined) {
        this.#underWay += 1
        return task
      }
      this.#enter(task, known)
    }
  }

  /** The root, signed by the list's key, that is to be walked. */
  foundRoot(task: RootTask, root: TreeRoot): void {
    this.#answered()
    this.#cache.roots.set(task.url, root)
    this.#reach({ kind: "entry", subdomain: root.links, subtree: "links", root: task })
    this.#reach({ kind: "entry", subdomain: root.nodes, subtree: "nodes", root: task })
  }

  /** The entry with the task's hash; undefined when what has that hash is no entry at all. */
  foundEntry(task: EntryTask, entry: TreeEntry | undefined): void {
    this.#answered()
    const known: KnownEntry =
      entry === undefined || entry.kind === "node" ? { kind: "seen" } : entry
    const { entries } = this.#cache
    const oldest = entries.keys().next()
    if (entries.size >= 2 * this.#limits.maxEntries && !oldest.done) entries.delete(oldest.value)
    entries.set(task.subdomain, known)
    this.#enter(task, known)
  }

  /** Nothing came, or nothing that was signed or had the right hash. The next walk asks again. */
  failed(): void {
    this.#underWay -= 1
    this.#failures += 1
    this.#failuresInRow += 1
  }

  /** Forgets, after a walk without failures, what it did not reach. */
  finish(): void {
    if (this.#failures > 0) return
    const { entries, roots } = this.#cache
    for (const subdomain of entries.keys()) {
      if (!this.#reachedEntries.has(subdomain)) entries.delete(subdomain)
    }
    for (const url of roots.keys()) if (!this.#trees.has(url)) roots.delete(url)
  }

  #answered(): void {
    this.#underWay -= 1
    this.#failuresInRow = 0
  }

  #enter({ subtree, root }: EntryTask, entry: KnownEntry): void {
    if (entry.kind === "branch") {
      for (const subdomain of entry.children) {
        this.#reach({ kind: "entry", subdomain, subtree, root })
      }
    } else if (entry.kind === "link" && subtree === "links") {
      this.#reachTree(entry.tree, root.depth + 1)
    }
  }

  #reach(task: EntryTask): void {
    const key = `${task.subtree}:${task.subdomain}:${task.root.url}`
    if (this.#reached.has(key)) return
    if (this.#reached.size >= this.#limits.maxEntries) {
      this.#truncated = true
      return
    }
    this.#reached.add(key)
    this.#reachedEntries.add(task.subdomain)
    this.#stack.push(task)
  }

  #reachTree(tree: TreeUrl, depth: number): void {
    const url = formatTreeUrl(tree)
    if (this.#trees.has(url)) return
    if (depth > this.#limits.maxLinkDepth || this.#trees.size >= this.#limits.maxTrees) {
      this.#truncated = true
      return
    }
    this.#trees.add(url)
    this.#linked.push({ kind: "root", tree, url, depth })
  }
}
