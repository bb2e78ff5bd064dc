//! Which partition a key belongs to: Kafka's own murmur2, as its Java clients have it, so that
//! records written by anyone with the same key meet in the same partition.

/// The partition of `key` in a topic of `partitions` partitions (more than 0).
/// Source: `org.apache.kafka.clients.producer.internals.BuiltInPartitioner.partitionForKey`.
#[must_use]
pub fn partition_for_key(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// The partition of a record: by its key, and a record without one goes to the partition of the
/// same number (modulo the count) as the record that caused it, so that a replay puts it there too.
#[must_use]
pub fn partition_for(key: Option<&[u8]>, parent_partition: u32, partitions: u32) -> u32 {
    match key {
        Some(key) => partition_for_key(key, partitions),
        None => parent_partition % partitions.max(1),
    }
}

/// The hash itself: 32 bits, the same on every machine. Source: `org.apache.kafka.common.utils.Utils`.
#[must_use]
pub fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let mut h = SEED ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (i, byte) in rest.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * i);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn hashes_as_the_java_clients_do() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn a_record_without_a_key_stays_beside_its_parent() {
        assert_eq!(partition_for(None, 5, 4), 1);
        assert_eq!(partition_for(Some(b"abc"), 5, 4), 479_470_107 % 4);
    }
}
