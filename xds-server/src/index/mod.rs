//! Objects by identity, and who owns what. Pure: no I/O, no async.
