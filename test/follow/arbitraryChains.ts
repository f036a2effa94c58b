/** Chains with branches, as plain keys: a stored one, and what peers show. */
import { FastCheck as fc } from "effect"
import { HeaderTree, type LinkedHeader, type StoredTop } from "../../src/follow/headerTree.ts"

/** A branch that leaves the stored chain above `ancestor` and ends at `head`. */
export interface Branch {
  readonly name: string
  readonly ancestor: number
  readonly head: number
}

/** The stored chain goes from block 0 to `tip`, its hashes are known from `floor` on. */
export interface Scene {
  readonly tip: number
  readonly window: number
  readonly branches: ReadonlyArray<Branch>
  /** For each peer the branch that it shows, and up to which block; undefined: the stored chain. */
  readonly peers: ReadonlyArray<{ readonly branch: number; readonly head: number }>
}

/** What stands for the hash of a block of a branch. */
export const keyOf = (name: string, number: number): string => `${name}${number}.`.padEnd(64, "0")

export const headersOf = ({ name, ancestor, head }: Branch): ReadonlyArray<LinkedHeader> =>
  Array.from({ length: head - ancestor }, (_, index) => {
    const number = ancestor + 1 + index
    const parentKey = number === ancestor + 1 ? keyOf("s", ancestor) : keyOf(name, number - 1)
    return { number, key: keyOf(name, number), parentKey }
  })

export const topOf = ({ tip, window }: Pick<Scene, "tip" | "window">): StoredTop => {
  const floor = Math.max(tip - window, -1)
  const hashes = new Map<number, string>()
  for (let number = Math.max(floor, 0); number <= tip; number++) {
    hashes.set(number, keyOf("s", number))
  }
  return { tip, floor, floorIsOpen: floor < 0, hashes }
}

/** A tree that knows all branches and the stored chain itself. */
export const treeOf = ({ tip, branches }: Scene): HeaderTree => {
  const tree = new HeaderTree()
  for (const header of headersOf({ name: "s", ancestor: 0, head: tip })) tree.add("p", header)
  for (const branch of branches) for (const header of headersOf(branch)) tree.add("p", header)
  return tree
}

/** The block that a peer shows as its head. */
export const headOf = (scene: Scene, peer: Scene["peers"][number]) => {
  const branch = scene.branches[peer.branch]
  const number = Math.min(peer.head, branch?.head ?? scene.tip)
  const onBranch = branch !== undefined && number > branch.ancestor
  return { number, key: keyOf(onBranch ? branch.name : "s", number) }
}

export const scene: fc.Arbitrary<Scene> = fc
  .record({ tip: fc.integer({ min: 5, max: 40 }), window: fc.integer({ min: 0, max: 12 }) })
  .chain(({ tip, window }) =>
    fc.record({
      tip: fc.constant(tip),
      window: fc.constant(window),
      branches: fc.array(
        fc
          .tuple(fc.integer({ min: 0, max: tip }), fc.integer({ min: 1, max: 10 }))
          .map(([ancestor, length]) => ({ ancestor, head: ancestor + length })),
        { minLength: 1, maxLength: 3 },
      ),
      peers: fc.array(
        fc.record({
          branch: fc.integer({ min: 0, max: 3 }),
          head: fc.integer({ min: 0, max: 60 }),
        }),
        { maxLength: 9 },
      ),
    }),
  )
  .map(({ branches, ...rest }) => {
    const named = branches.map(({ ancestor, head }, index) => ({
      name: "abc"[index]!,
      ancestor,
      head,
    }))
    return Object.assign(rest, { branches: named })
  })
