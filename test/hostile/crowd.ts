/** Many hostile peers at once, that all listen and, where they are told to, dial. */
import { type Enode, formatEnode } from "../../src/chain/enode.ts"
import type { ServedChain } from "../../src/devnet/servedChain.ts"
import { HostilePeer, type HostileScript } from "./HostilePeer.ts"

/** See the module. */
export interface Crowd {
  readonly peers: ReadonlyArray<HostilePeer>
  /** Where they listen, as flags of the program. */
  readonly peerFlags: ReadonlyArray<string>
  /** Has all of them dial this node, again and again. */
  readonly dial: (node: Enode) => Promise<void>
  readonly close: () => Promise<void>
}

/** Starts one peer a script. */
export const startCrowd = async (
  scripts: ReadonlyArray<HostileScript>,
  chain: ServedChain,
): Promise<Crowd> => {
  const peers = scripts.map((script) => new HostilePeer(script, chain))
  const enodes = await Promise.all(peers.map(async (peer) => peer.listen()))
  return {
    peers,
    peerFlags: enodes.map((enode) => `--peer=${formatEnode(enode)}`),
    dial: async ({ nodeId, tcpPort }) => {
      const key = Uint8Array.from(Buffer.from(nodeId, "hex"))
      await Promise.all(peers.map(async (peer) => peer.dial(tcpPort, key)))
    },
    close: async () => {
      await Promise.all(peers.map(async (peer) => peer.close()))
    },
  }
}
