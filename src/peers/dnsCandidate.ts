/**
 * From a node record of a DNS list to a node that may be dialled. Pure.
 */
import type { ChainSpec } from "../chain/chainSpec.ts"
import { type Enr, enodeOfEnr } from "../chain/enr.ts"
import { checkForkId, type ForkId } from "../chain/forkId.ts"
import type { Candidate } from "./PeerSource.ts"

/**
 * Whether a node that announces `forkId` can be on our chain by now: in the last fork state, or in
 * an earlier one, on its way to the fork that came next. Nodes that stayed behind because they lack
 * a fork do not fit, nor do those of other chains (EIP-2124, "Validation rules", for a node at the
 * head). `nowSeconds` are Unix seconds.
 */
export const forkIdFits = (chain: ChainSpec, forkId: ForkId, nowSeconds: number): boolean =>
  // Where the head is, nobody has told us yet; that it is past the last fork by block is sure.
  checkForkId(chain, { number: chain.forkBlocks.at(-1) ?? 0, time: nowSeconds }, forkId) ===
  "compatible"

/** Why a node of a list is no candidate. */
export type NoCandidate = "no address" | "another chain"

/** The candidate that a record makes; without `forkId` where the record has no `eth` entry. */
export const candidateOf = (
  chain: ChainSpec,
  enr: Enr,
  nowSeconds: number,
): Candidate | NoCandidate => {
  const enode = enodeOfEnr(enr)
  if (enode === undefined) return "no address"
  const { forkId } = enr
  if (forkId === undefined) return { enode, source: "dns" }
  return forkIdFits(chain, forkId, nowSeconds) ? { enode, source: "dns", forkId } : "another chain"
}
