/**
 * How many filters and subscriptions there may be, of all clients together.
 */
import { Context, Effect, Layer, type Scope } from "effect"
import { RpcError, rpcCodes } from "../rpcError.ts"

/** See the module. */
export interface SlotsShape {
  /** Takes a place until the scope ends; RpcError: all are taken. */
  readonly take: Effect.Effect<void, RpcError, Scope.Scope>
  readonly taken: () => number
}

/** See {@link SlotsShape}. */
export class Slots extends Context.Tag("annals/rpc/Slots")<Slots, SlotsShape>() {
  /** At most `most`. */
  static readonly layer = (most: number): Layer.Layer<Slots> =>
    Layer.sync(Slots, () => {
      let taken = 0
      const enter = Effect.suspend(() => {
        if (taken >= most) {
          const says = `there are ${most} filters and subscriptions already: end one, or try later`
          return Effect.fail(new RpcError(rpcCodes.limitExceeded, says))
        }
        taken += 1
        return Effect.void
      })
      const leave = Effect.sync(() => {
        taken -= 1
      })
      return { take: Effect.acquireRelease(enter, () => leave), taken: () => taken }
    })
}
