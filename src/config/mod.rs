//! Configuration: files and environment in, resolved sources out.
