/* RLPx frames: their MAC and their encryption; see frames.c. */
#ifndef ANNALS_FRAMES_H
#define ANNALS_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keccak.h"

enum {
  FRAME_KEY_BYTES = 32,
  FRAME_HEADER_BYTES = 16,
  FRAME_MAC_BYTES = 16,
  FRAME_BLOCK_BYTES = 16,
  FRAME_ROUND_KEYS_BYTES = 15 * 16,
};

/* One direction of a connection. */
typedef struct {
  KeccakSponge mac;
  uint8_t digest[KECCAK_DIGEST_BYTES];
  uint8_t frame_keys[FRAME_ROUND_KEYS_BYTES];
  uint8_t mac_keys[FRAME_ROUND_KEYS_BYTES];
  /* How many blocks of key stream were used. */
  uint64_t blocks;
} FrameState;

/* Whether this processor can; nothing else here may be called where it cannot. */
bool frames_supported(void);

/* Both keys have FRAME_KEY_BYTES. */
void frames_start(FrameState *state, const uint8_t *aes_key, const uint8_t *mac_key,
                  const uint8_t *seed, size_t seed_bytes);

/*
 * Checks a header of 16 bytes and its MAC behind it, and decrypts it where it is. False: the MAC is
 * another one; the state is of no use then.
 */
bool frames_open_header(FrameState *state, uint8_t *header);

/* The same of a body with its padding: `length` is a multiple of 16, the MAC lies behind it. */
bool frames_open_body(FrameState *state, uint8_t *body, size_t length);

/*
 * Encrypts a header, and writes its MAC behind it; then a body of `length` bytes, a multiple of 16,
 * behind that, and its MAC.
 */
void frames_seal(FrameState *state, uint8_t *frame, size_t length);

#endif
