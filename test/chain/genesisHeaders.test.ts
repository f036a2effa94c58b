import { assert, describe, it } from "vitest"
import { genesisHeaderOf } from "../../src/chain/genesisHeaders.ts"
import { knownNetworks } from "../../src/chain/networks.ts"
import { toHex } from "../../src/domain/hex.ts"
import { readHeader } from "../../src/domain/header.ts"
import { keccak256 } from "../../src/domain/keccak.ts"

describe("the genesis headers of known networks", () => {
  for (const [name, chain] of knownNetworks) {
    it(`has that of ${name}, by its hash`, () => {
      const header = genesisHeaderOf(chain) ?? assert.fail("none")
      assert.strictEqual(toHex(keccak256(header)), toHex(chain.genesisHash))
      assert.deepInclude(readHeader(header), { number: 0, timestamp: chain.genesisTime })
    })
  }
})
