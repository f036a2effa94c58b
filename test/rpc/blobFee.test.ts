import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { mainnet } from "../../src/chain/networks.ts"
import { blobBaseFee } from "../../src/rpc/blobFee.ts"

const at = (fromTime: number, baseFeeUpdateFraction: bigint) => ({
  fromTime,
  baseFeeUpdateFraction,
})

/** EIP-4844's `fake_exponential(1, numerator, denominator)`, word for word. */
const reference = (numerator: bigint, denominator: bigint): bigint => {
  let i = 1n
  let output = 0n
  let accum = denominator
  while (accum > 0n) {
    output += accum
    accum = (accum * numerator) / (denominator * i)
    i += 1n
  }
  return output / denominator
}

describe("blobBaseFee", () => {
  it("is one wei while there is no excess", () => {
    assert.strictEqual(blobBaseFee(0n, 100, [at(0, 3_338_477n)]), 1n)
  })

  it("grows by e with each update fraction of excess", () => {
    const fraction = 3_338_477n
    const fees = [1n, 2n, 10n, 20n].map((n) => blobBaseFee(n * fraction, 0, [at(0, fraction)]))
    // Whole parts of e, e^2, e^10, e^20.
    assert.deepEqual(fees, [2n, 7n, 22_026n, 485_165_195n])
  })

  it("is EIP-4844's function of any excess that a fee below 2^256 can have", () => {
    const fraction = fc.bigInt({ min: 1n, max: 2n ** 40n })
    fc.assert(
      fc.property(fraction, fc.integer({ min: 0, max: 17_800 }), (fraction, hundredths) => {
        const excess = (fraction * BigInt(hundredths)) / 100n
        assert.strictEqual(blobBaseFee(excess, 0, [at(0, fraction)]), reference(excess, fraction))
      }),
      { numRuns: 200 },
    )
  })

  it("takes the fraction of the last fork that is not after the block", () => {
    const schedule = [at(10, 100n), at(20, 200n), at(30, 400n)]
    assert.isUndefined(blobBaseFee(400n, 9, schedule))
    const fees = [10, 19, 20, 30, 99].map((time) => blobBaseFee(400n, time, schedule))
    assert.deepEqual(fees, [54n, 54n, 7n, 2n, 2n])
  })

  it("knows every change of mainnet's fraction", () => {
    const excess = 100_000_000n
    const fees = mainnet.blobSchedule.map(({ fromTime }) =>
      blobBaseFee(excess, fromTime, mainnet.blobSchedule),
    )
    const fractions = [3_338_477n, 5_007_716n, 5_007_716n, 8_346_193n, 11_684_671n]
    assert.deepEqual(
      fees,
      fractions.map((fraction) => reference(excess, fraction)),
    )
  })

  it("is unknown, and quickly so, where no chain can have such an excess", () => {
    assert.isUndefined(blobBaseFee(2n ** 64n - 1n, 0, [at(0, 3_338_477n)]))
    assert.isUndefined(blobBaseFee(1n, 0, []))
  })
})
