//! Programs into memory: ELF and `#!`.
