/** What @ethereumjs/tx, which transactions are held against, has to know of a chain. */
import { type Common, createCustomCommon, Hardfork, Mainnet } from "@ethereumjs/common"

const unused = (): never => {
  throw new Error("no blob is looked into")
}

/** The library wants one for blob transactions, even where there are no blobs. */
const kzg = {
  blobToKzgCommitment: unused,
  computeBlobProof: unused,
  verifyProof: unused,
  verifyBlobProofBatch: unused,
  computeCells: unused,
  computeCellsAndProofs: unused,
  recoverCellsAndProofs: unused,
  verifyCellKzgProofBatch: unused,
}

/** A chain of this id, all of whose blocks are of one fork; Prague takes transactions of all types. */
export const commonOf = (chainId: number, hardfork: Hardfork = Hardfork.Prague): Common =>
  createCustomCommon({ chainId }, Mainnet, { hardfork, customCrypto: { kzg } })
