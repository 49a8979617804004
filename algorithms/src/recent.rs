//! What was used last: a list with a bound, for keys that are costly to prepare.

/// At most as many values as it was made for. Of those the one that was used longest ago makes room for a new one, and is
/// dropped. Looking one up takes a walk over those that were used since, so the bound is meant to be some hundreds.
#[derive(Debug)]
pub struct Recent<K, V> {
    most: usize,
    /// The one that was used last comes first.
    kept: Vec<(K, V)>,
}

impl<K: PartialEq, V> Recent<K, V> {
    /// An empty list for `most` values.
    pub const fn new(most: usize) -> Self {
        Self { most, kept: Vec::new() }
    }

    /// The value of `key`, which becomes the one that was used last.
    pub fn get(&mut self, key: &K) -> Option<&V> {
        let place = self.kept.iter().position(|(known, _)| known == key)?;
        self.kept[..=place].rotate_right(1);
        self.kept.first().map(|(_, value)| value)
    }

    /// Takes in a value as the one that was used last; one of the same key goes.
    pub fn put(&mut self, key: K, value: V) {
        self.retain(|known| *known != key);
        self.kept.truncate(self.most.saturating_sub(1));
        self.kept.insert(0, (key, value));
    }

    /// Drops the values for whose keys `keep` does not say so.
    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.kept.retain(|(key, _)| keep(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_used_longest_ago_makes_room() {
        let mut recent = Recent::new(3);
        for key in 1..=3 {
            recent.put(key, 10 * key);
        }
        assert_eq!(recent.get(&1), Some(&10));
        recent.put(4, 40);
        assert_eq!([1, 2, 3, 4].map(|key| recent.get(&key).copied()), [Some(10), None, Some(30), Some(40)]);
        recent.put(3, 33);
        assert_eq!(recent.kept, [(3, 33), (4, 40), (1, 10)]);
        recent.retain(|key| *key != 4);
        assert_eq!(recent.kept, [(3, 33), (1, 10)]);
    }
}
