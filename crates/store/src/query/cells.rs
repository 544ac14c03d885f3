//! Numbers in blocks: more of them never copies those that are there, so that they take little more
//! memory than they are.

/// Numbers of a block.
const BLOCK: usize = 64 * 1024;

/// A vector of numbers that grows and does not shrink.
#[derive(Debug, Default)]
pub(super) struct Cells<T> {
    /// All are full but the last.
    blocks: Vec<Vec<T>>,
}

impl<T: Copy + Default> Cells<T> {
    pub(super) fn len(&self) -> usize {
        let last = self.blocks.last().map_or(0, Vec::len);
        self.blocks.len().saturating_sub(1) * BLOCK + last
    }

    /// Appends zeros until there are so many.
    pub(super) fn grow(&mut self, len: usize) {
        let mut more = len.saturating_sub(self.len());
        while more > 0 {
            match self.blocks.last_mut().filter(|last| last.len() < BLOCK) {
                Some(last) => {
                    let now = more.min(BLOCK - last.len());
                    last.resize(last.len() + now, T::default());
                    more -= now;
                }
                None => self.blocks.push(Vec::new()),
            }
        }
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> Option<T> {
        self.blocks.get(at / BLOCK)?.get(at % BLOCK).copied()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.blocks.get_mut(at / BLOCK)?.get_mut(at % BLOCK)
    }

    /// All of them; the memory of those that came is given back on the way.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(&mut self.blocks).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_keep_their_places() {
        let mut cells: Cells<u32> = Cells::default();
        assert_eq!((cells.len(), cells.get(0)), (0, None));
        for len in [3, 3, 1, BLOCK - 1, BLOCK, BLOCK + 2, 3 * BLOCK] {
            let before = cells.len();
            cells.grow(len);
            assert_eq!(cells.len(), len.max(before));
            assert_eq!((cells.get(len - 1), cells.get(cells.len())), (Some(0), None));
        }
        for at in [0, BLOCK - 1, BLOCK, 3 * BLOCK - 1] {
            *cells.get_mut(at).unwrap() = at as u32 + 1;
        }
        assert!(cells.get_mut(3 * BLOCK).is_none());
        let all: Vec<u32> = cells.drain().filter(|number| *number > 0).collect();
        assert_eq!(all, [1, BLOCK as u32, BLOCK as u32 + 1, 3 * BLOCK as u32]);
        assert_eq!(cells.len(), 0);
    }
}
