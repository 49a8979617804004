//! The sponge of SHA-3 and SHAKE (FIPS 202 section 4) over the permutation of the `keccak` crate: 200 bytes of state
//! that can be cloned and saved.

use keccak::Keccak;
use zeroize::Zeroize;

const STATE_LEN: usize = 200;

/// A running SHA-3 or SHAKE.
#[derive(Clone)]
pub(crate) struct Sponge {
    lanes: [u64; 25],
    /// Where in the block the next byte goes; below `rate`.
    position: usize,
    rate: usize,
    suffix: u8,
}

impl Sponge {
    /// SHA-3 with `output_len` bytes of output.
    pub(crate) fn sha3(output_len: usize) -> Self {
        Self { lanes: [0; 25], position: 0, rate: STATE_LEN - 2 * output_len, suffix: 0x06 }
    }

    /// SHAKE of a strength in bits: 128 or 256.
    pub(crate) fn shake(strength: usize) -> Self {
        Self { lanes: [0; 25], position: 0, rate: STATE_LEN - strength / 4, suffix: 0x1f }
    }

    /// Absorbs.
    pub(crate) fn update(&mut self, mut data: &[u8]) {
        if self.position > 0 {
            let (head, rest) = data.split_at(data.len().min(self.rate - self.position));
            head.iter().for_each(|&byte| self.absorb_byte(byte));
            data = rest;
        }
        let mut blocks = data.chunks_exact(self.rate);
        for block in &mut blocks {
            for (lane, bytes) in self.lanes.iter_mut().zip(block.chunks_exact(8)) {
                *lane ^= u64::from_le_bytes(bytes.try_into().expect("a chunk is 8 bytes"));
            }
            self.permute();
        }
        blocks.remainder().iter().for_each(|&byte| self.absorb_byte(byte));
    }

    /// Pads, and squeezes as much as `out` takes.
    pub(crate) fn finish(mut self, out: &mut [u8]) {
        self.xor(self.position, self.suffix);
        self.xor(self.rate - 1, 0x80);
        for chunk in out.chunks_mut(self.rate) {
            self.permute();
            for (bytes, lane) in chunk.chunks_mut(8).zip(&self.lanes) {
                bytes.copy_from_slice(&lane.to_le_bytes()[..bytes.len()]);
            }
        }
    }

    /// The 200 bytes of state, then the position in the block.
    pub(crate) fn export(&self) -> Vec<u8> {
        let mut out: Vec<u8> = self.lanes.iter().flat_map(|lane| lane.to_le_bytes()).collect();
        out.push(u8::try_from(self.position).expect("a block has at most 168 bytes"));
        out
    }

    /// Takes what `export` gave over a new sponge of the same kind.
    pub(crate) fn import(mut self, exported: &[u8]) -> Option<Self> {
        let (&position, state) = exported.split_last()?;
        if state.len() != STATE_LEN || usize::from(position) >= self.rate {
            return None;
        }
        for (lane, bytes) in self.lanes.iter_mut().zip(state.chunks_exact(8)) {
            *lane = u64::from_le_bytes(bytes.try_into().expect("a chunk is 8 bytes"));
        }
        self.position = usize::from(position);
        Some(self)
    }

    fn absorb_byte(&mut self, byte: u8) {
        self.xor(self.position, byte);
        self.position += 1;
        if self.position == self.rate {
            self.permute();
            self.position = 0;
        }
    }

    fn xor(&mut self, index: usize, byte: u8) {
        self.lanes[index / 8] ^= u64::from(byte) << (8 * (index % 8));
    }

    fn permute(&mut self) {
        Keccak::new().with_f1600(|f1600| f1600(&mut self.lanes));
    }
}

impl Drop for Sponge {
    fn drop(&mut self) {
        self.lanes.zeroize();
    }
}
