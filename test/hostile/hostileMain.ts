/**
 * Hostile peers as a process: `hostileMain BLOCKS SEED KIND…` starts one peer a kind, which serve the
 * made chain of the light shape, and prints one enode a line. A line on stdin is an enode that all of
 * them dial from then on. It ends with its parent.
 */
import { createInterface } from "node:readline"
import { formatEnode, isEnodeInvalid, parseEnode } from "../../src/chain/enode.ts"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import { startCrowd } from "./crowd.ts"
import { hostileScript, hostileScripts } from "./scripts.ts"

const [blocks, seed, ...kinds] = process.argv.slice(2)

if (kinds.length === 0) {
  for (const { name } of hostileScripts) console.log(name)
} else {
  const chain = generateChain({ blocks: Number(blocks), shape: "light", seed: Number(seed) })
  const crowd = await startCrowd(kinds.map(hostileScript), chain)
  for (const flag of crowd.peerFlags) console.log(flag.slice("--peer=".length))
  createInterface({ input: process.stdin }).on("line", (line) => {
    const enode = parseEnode(line)
    if (isEnodeInvalid(enode)) throw new Error(`no enode: ${line}`)
    crowd.dial(enode).catch((error: unknown) => {
      console.error(`dialling ${formatEnode(enode)}: ${String(error)}`)
    })
  })
  process.on("disconnect", () => process.exit())
}
