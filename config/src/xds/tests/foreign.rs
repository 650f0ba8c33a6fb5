//! Resources that Weir did not write.
