//! The hash ring: which endpoint a key belongs to.
//!
//! Positions are those of the Collector's `loadbalancing` exporter, so that instances of both agree
//! where a trace goes: CRC-32 (IEEE) modulo 36,000, and 100 points for each endpoint, each of the
//! endpoint's text with the point's number behind it as one byte. A point that another endpoint
//! has already is left out. A key belongs to the first point at or behind its own position.

use flate2::Crc;

const POSITIONS: u32 = 36_000;
const POINTS: u8 = 100;

/// An immutable ring.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ring {
    endpoints: Vec<String>,
    /// Position and index of the endpoint, by position.
    points: Vec<(u32, usize)>,
}

impl Ring {
    /// Of endpoints as the resolver spells them; the order does not matter.
    pub(super) fn new(mut endpoints: Vec<String>) -> Self {
        endpoints.sort();
        endpoints.dedup();
        let points = points(&endpoints, POINTS);
        Self { endpoints, points }
    }

    pub(super) fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// The index of a key's endpoint; `None` when there are none.
    pub(super) fn find(&self, key: &[u8]) -> Option<usize> {
        let position = position(&[key]);
        let at = self.points.partition_point(|&(point, _)| point < position);
        self.points.get(at).or(self.points.first()).map(|&(_, endpoint)| endpoint)
    }
}

fn points(endpoints: &[String], each: u8) -> Vec<(u32, usize)> {
    let mut taken = vec![false; POSITIONS as usize];
    let mut points = Vec::new();
    for (index, endpoint) in endpoints.iter().enumerate() {
        for point in 0..each {
            let position = position(&[endpoint.as_bytes(), &[point]]);
            if !std::mem::replace(&mut taken[position as usize], true) {
                points.push((position, index));
            }
        }
    }
    points.sort_unstable();
    points
}

fn position(parts: &[&[u8]]) -> u32 {
    let mut crc = Crc::new();
    for part in parts {
        crc.update(part);
    }
    crc.sum() % POSITIONS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// The positions that the Collector's own tests expect of five points.
    #[test]
    fn positions_are_the_collectors() {
        let one = [1401, 4175, 14133, 17836, 21667];
        let two = [10240, 15002, 21263, 26806, 27020];
        let both = points(&names(&["endpoint-1", "endpoint-2"]), 5);
        let of = |endpoint| {
            let own = both.iter().filter(|point| point.1 == endpoint);
            own.map(|point| point.0).collect::<Vec<_>>()
        };
        assert_eq!((of(0), of(1)), (one.to_vec(), two.to_vec()));
        assert_eq!(points(&names(&["endpoint-1"]), 5).len(), 5);
    }

    /// Two trace ids whose endpoints the Collector's own tests name.
    #[test]
    fn traces_go_where_the_collector_sends_them() {
        let ring = Ring::new(names(&["endpoint-2", "endpoint-1", "endpoint-2"]));
        assert_eq!(ring.points.len(), 200);
        for (start, endpoint) in [([1, 2], "endpoint-1"), ([128, 128], "endpoint-2")] {
            let mut trace_id = [0; 16];
            trace_id[..2].copy_from_slice(&start);
            let found = ring.find(&trace_id).unwrap();
            assert_eq!(ring.endpoints()[found], endpoint);
        }
        assert_eq!(Ring::default().find(b"x"), None);
    }

    #[test]
    fn an_endpoint_more_moves_its_share_only() {
        let before = Ring::new(names(&["a:4317", "b:4317", "c:4317"]));
        let after = Ring::new(names(&["a:4317", "b:4317", "c:4317", "d:4317"]));
        let keys =
            || (0..10_000u64).map(|key| key.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        let name = |ring: &Ring, key: &[u8]| ring.endpoints()[ring.find(key).unwrap()].clone();
        let moved: Vec<_> = keys().filter(|key| name(&before, key) != name(&after, key)).collect();
        assert!((1500..3500).contains(&moved.len()), "{}", moved.len());
        assert!(moved.iter().all(|key| name(&after, key) == "d:4317"));
    }
}
