/* Keccak-256 (the padding of before FIPS 202, as Ethereum uses it); see keccak.c. */
#ifndef ANNALS_KECCAK_H
#define ANNALS_KECCAK_H

#include <stddef.h>
#include <stdint.h>

enum {
  KECCAK_STATE_LANES = 25,
  KECCAK_DIGEST_BYTES = 32,
  KECCAK_BLOOM_BYTES = 256,
  /* The longest item of a bloom filter: a topic. */
  KECCAK_ITEM_BYTES = 32,
};

/* A running state; zeros are a fresh one. */
typedef struct {
  uint64_t lanes[KECCAK_STATE_LANES];
  /* Bytes of the current block that are in. */
  uint64_t filled;
} KeccakSponge;

/* One message of many: offsets into a memory. */
typedef struct {
  uint32_t at;
  uint32_t length;
  uint32_t digest_at;
} KeccakJob;

/* An address or a topic in a source, and the filter that it belongs to. */
typedef struct {
  uint32_t at;
  uint32_t length;
  uint32_t filter_at;
} KeccakItem;

/* To be called once before anything else: finds out what the processor can do. */
void keccak_init(void);

/* How many messages keccak_hash_many can work on at once: 8, 4, or 1 where it cannot. */
int keccak_lanes(void);

void keccak_absorb(KeccakSponge *sponge, const uint8_t *data, size_t length);

/* Writes the digest; the state is of no use afterwards. */
void keccak_squeeze(KeccakSponge *sponge, uint8_t *digest);

/*
 * Writes the digests of a table of jobs, 8 or 4 at once, which must not be more than keccak_lanes
 * says. Messages are padded in place, up to the next multiple of 136 bytes counted from their
 * start. A job that lies outside of the memory is left out.
 */
void keccak_hash_many(uint8_t *memory, size_t memory_bytes, const KeccakJob *jobs,
                      const KeccakJob *jobs_end, int lanes);

/*
 * Adds items to the filters of 256 bytes that they name, and all of them to `total`; 8 or 4 at
 * once. An item that is too long, or lies outside of its arrays, is left out.
 */
void keccak_blooms(const uint8_t *source, size_t source_bytes, const KeccakItem *items,
                   size_t count, uint8_t *filters, size_t filters_bytes, uint8_t *total,
                   int lanes);

#endif
