/**
 * A short run of every fuzz target, the same each time: thousands of inputs, altered from real
 * ones. `npm run fuzz` is the long one, which looks for inputs that reach something new.
 */
import { assert, describe, it } from "vitest"
import { type Finding, judge } from "./judge.ts"
import { loadMaterial } from "./material.ts"
import { mutate } from "./mutate.ts"
import { makeRandom } from "./random.ts"
import { DEFAULT_TEST_INPUTS, type FuzzTarget, MAX_INPUT_BYTES } from "./target.ts"
import { targets } from "./targets.ts"

/** An input that must not be, in full: it is wanted for a test of its own. */
const report = (input: Uint8Array, { kind, detail }: Finding): string =>
  `${kind}: ${detail}\ninput: ${Buffer.from(input).toString("base64")}`

/** The short run of a target: its first finding, undefined when there is none. */
const run = async (target: FuzzTarget): Promise<string | undefined> => {
  const random = makeRandom(1)
  const seeds = target.seeds(loadMaterial()).filter(({ length }) => length <= MAX_INPUT_BYTES)
  assert.isAbove(seeds.length, 0)
  const corpus = [...seeds]
  const inputs = target.testInputs ?? DEFAULT_TEST_INPUTS
  for (let count = 0; count < inputs; count++) {
    const input = seeds[count] ?? mutate(target, random.pick(corpus), random.pick(seeds), random)
    const finding = await judge(target, input)
    if (finding !== undefined) return report(input, finding)
    // Some go on from where they are, to come further away from what is real.
    if (random.below(8) === 0) corpus[random.below(corpus.length)] = input
  }
  return undefined
}

describe("whatever the bytes, there is a value or a refusal", () => {
  for (const target of targets) {
    it(`from ${target.name}`, async () => assert.isUndefined(await run(target)))
  }
})

describe("mutations", () => {
  it("are the same from the same numbers", () => {
    const [first, second] = [1, 1].map((seed) => {
      const random = makeRandom(seed)
      const { messages } = loadMaterial()
      return messages.map(({ payload }) =>
        Buffer.from(mutate({ kind: "rlp" }, payload, messages[0]!.payload, random)).toString("hex"),
      )
    })
    assert.deepEqual(first, second)
  })
})
