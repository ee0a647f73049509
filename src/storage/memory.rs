//! (to be written)
/// x
pub struct MemoryDisk;
